// Memory that a thread keeps from call to call. Each slot is one buffer that only grows.
#pragma once
#include <cstddef>
#include <new>

#include "training/aligned_memory.h"

namespace onebit::training {

enum class Slot { kPackedA, kPackedB, kWeights, kGradient, kPartial, kAttentionKeys, kAttentionRows, kAttentionGradients, kAttentionQueries, kCount };

// At least n floats at a 64-byte boundary, of the calling thread; what was there may be lost.
inline float* Scratch(Slot slot, std::size_t n) {
  struct Buffers {
    float* data[static_cast<int>(Slot::kCount)] = {};
    std::size_t size[static_cast<int>(Slot::kCount)] = {};
    ~Buffers() {
      for (float* buffer : data) FreeFloats(buffer);
    }
  };
  thread_local Buffers buffers;
  const int i = static_cast<int>(slot);
  if (buffers.size[i] < n) {
    FreeFloats(buffers.data[i]);
    buffers.size[i] = 0;
    const std::size_t rounded = (n + 1023) / 1024 * 1024;
    buffers.data[i] = AllocateFloats(rounded);
    if (buffers.data[i] == nullptr) throw std::bad_alloc();
    buffers.size[i] = rounded;
  }
  return buffers.data[i];
}

}  // namespace onebit::training
