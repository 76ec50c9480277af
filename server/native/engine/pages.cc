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
  constexpr size_t kHuge = size_t{2} << 20;
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

void Pages::Swap(Pages& other) {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_, other.mapped_);
}

}  // namespace onebit
