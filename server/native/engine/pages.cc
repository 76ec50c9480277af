#include "engine/pages.h"

#include <new>
#include <utility>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#elif defined(__wasm__)
#include <algorithm>
#include <cstdlib>
#include <cstring>
#else
#include <sys/mman.h>
#endif

namespace onebit {
namespace {

#if !defined(__wasm__)
constexpr size_t kHuge = size_t{2} << 20;
// Of a pool: room that nothing has touched yet costs no memory.
constexpr size_t kPoolMapping = size_t{64} << 20;
constexpr size_t kPieceAlignment = 4096;
#endif

}  // namespace

#if defined(_WIN32)

Pages::Pages(size_t bytes, Use) : size_(bytes), mapped_(bytes) {
  if (bytes == 0) return;
  mapping_ = VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (mapping_ == nullptr) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(mapping_);
}

void Pages::Free() {
  if (mapping_ != nullptr) VirtualFree(mapping_, 0, MEM_RELEASE);
}

#elif defined(__wasm__)

Pages::Pages(size_t bytes, Use) : size_(bytes), mapped_((bytes + 63) / 64 * 64) {
  if (bytes == 0) return;
  constexpr size_t kPage = size_t{64} << 10;
  const size_t before = __builtin_wasm_memory_size(0) * kPage;
  mapping_ = std::aligned_alloc(64, mapped_);
  if (mapping_ == nullptr) __builtin_trap();  // there are no exceptions
  data_ = static_cast<uint8_t*>(mapping_);
  // What the memory has grown by is zero, and takes nothing until it is touched.
  const size_t start = reinterpret_cast<size_t>(mapping_);
  if (start < before) std::memset(data_, 0, std::min(bytes, before - start));
}

void Pages::Free() { std::free(mapping_); }

#else

Pages::Pages(size_t bytes, Use use) : size_(bytes) {
  if (bytes == 0) return;
  const bool huge = use == Use::kStreamed && bytes >= kHuge;
  mapped_ = huge ? bytes + kHuge : bytes;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_NORESERVE)
  flags |= MAP_NORESERVE;
#endif
  mapping_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (mapping_ == MAP_FAILED) {
    mapping_ = nullptr;
    throw std::bad_alloc();
  }
  uintptr_t start = reinterpret_cast<uintptr_t>(mapping_);
  if (huge) start = (start + kHuge - 1) & ~(kHuge - 1);
  data_ = reinterpret_cast<uint8_t*>(start);
#if defined(MADV_HUGEPAGE)
  madvise(data_, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
}

void Pages::Free() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_);
}

#endif

#if defined(__wasm__)

Pages::Pages(size_t bytes, PagePool&) : Pages(bytes, Use::kStreamed) {}

#else

Pages::Pages(size_t bytes, PagePool& pool) {
  if (bytes >= kHuge) {
    *this = Pages(bytes, Use::kStreamed);
    return;
  }
  PagePool::Piece piece = pool.Take(bytes);
  size_ = bytes;
  data_ = piece.data;
  shared_ = std::move(piece.mapping);
}

PagePool::Piece PagePool::Take(size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (open_ == nullptr || used_ + bytes > kPoolMapping) {
    open_ = std::make_shared<Pages>(kPoolMapping, Pages::Use::kStreamed);
    used_ = 0;
  }
  uint8_t* data = open_->data() + used_;
  used_ += (bytes + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
  return {open_, data};
}

#endif

void Pages::Swap(Pages& other) {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_, other.mapped_);
  std::swap(shared_, other.shared_);
}

}  // namespace onebit
