// Memory for arrays of floats: at vector boundaries, and in pages of 2 MB where it is large enough, because
// a training step walks through gigabytes and would miss the TLB at every row.
#pragma once
#include <cstddef>

namespace onebit::training {

// n floats, contents undefined; null if there is no memory. Freed by FreeFloats.
float* AllocateFloats(std::size_t n);
void FreeFloats(float* data);

}  // namespace onebit::training
