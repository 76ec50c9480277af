// RMSNorm on whole matrices.
#pragma once
#include "training/kernels.h"

namespace onebit::training {

// inverse[rows] is 1 / sqrt(mean(x^2) + eps) of each row, kept for the gradient.
void RmsNorm(i64 rows, i64 width, const float* x, const float* gain, float eps, float* y, float* inverse);
// dgain only where not null.
void RmsNormGradient(i64 rows, i64 width, const float* dy, const float* x, const float* gain, const float* inverse,
                     float* dx, float* dgain);

}  // namespace onebit::training
