// A matrix of floats in 8 bits a weight, each row with a scale of its own: w ≈ scale · q, |q| at most 127.
//
// Four rows lie side by side in steps of 16 columns, one cache line a step: one token streams them from end to end
// and still has four sums that do not wait for each other.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kernels.h"
#include "engine/pages.h"

namespace onebit {

struct FloatMatrix;

struct ByteMatrix {
  int out = 0;
  int in = 0;
  Pages storage;              // [groups of kByteRows rows][steps of kByteColumns columns][row][column]
  std::vector<float> scales;  // [out, rounded up to whole groups]

  int64_t group_bytes() const { return int64_t{kByteRows} * ((in + kByteColumns - 1) / kByteColumns * kByteColumns); }
  const int8_t* group(int64_t index) const {
    return reinterpret_cast<const int8_t*>(storage.data()) + index * group_bytes();
  }
  int64_t bytes() const { return static_cast<int64_t>(storage.size() + sizeof(float) * scales.size()); }
};

// Rounds every weight to the nearest of 255 values, with all threads.
ByteMatrix RoundToBytes(const FloatMatrix& matrix, const Kernels& kernels);

}  // namespace onebit
