// Adam over whole parameters, and the norm that clipping needs.
#pragma once
#include "training/kernels.h"

namespace onebit::training {

void Adam(i64 n, float* parameter, const float* gradient, float* first, float* second, const AdamStep& step);

// The sum of squares; the same for every number of threads.
double SquaredNorm(i64 n, const float* x);

}  // namespace onebit::training
