#include "training/aligned_memory.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace onebit::training {
namespace {

constexpr std::size_t kVector = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t RoundUp(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

float* AllocateFloats(std::size_t n) {
  const std::size_t bytes = (n == 0 ? 1 : n) * sizeof(float);
#if defined(__linux__)
  if (bytes >= kHugePage / 2) {
    const std::size_t size = RoundUp(bytes, kHugePage);
    void* data = std::aligned_alloc(kHugePage, size);
    // A wish: without it the memory works all the same.
    if (data != nullptr) madvise(data, size, MADV_HUGEPAGE);
    return static_cast<float*>(data);
  }
#endif
#if defined(_WIN32)
  return static_cast<float*>(_aligned_malloc(RoundUp(bytes, kVector), kVector));
#else
  return static_cast<float*>(std::aligned_alloc(kVector, RoundUp(bytes, kVector)));
#endif
}

void FreeFloats(float* data) {
#if defined(_WIN32)
  _aligned_free(data);
#else
  std::free(data);
#endif
}

}  // namespace onebit::training
