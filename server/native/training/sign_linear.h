// The OneBit layer and the full-precision one, forward and backward.
#pragma once
#include "training/kernels.h"

namespace onebit::training {

struct LinearShape {
  i64 rows, in, out;
};

// y[rows, out] = LayerNorm((x * g) Sign(latent)^T * h); inverse[rows] is LayerNorm's factor.
void SignLinear(LinearShape shape, const float* x, const float* latent, const float* g, const float* h, float eps,
                float* y, float* inverse);

// The gradients of all four inputs.
void SignLinearGradient(LinearShape shape, const float* dy, const float* y, const float* inverse, const float* x,
                        const float* latent, const float* g, const float* h, StraightThrough through, float* dx,
                        float* dlatent, float* dg, float* dh);

// y = x weight^T (+ bias, if not null).
void Linear(LinearShape shape, const float* x, const float* weight, const float* bias, float* y);

// dweight and dbias only where not null.
void LinearGradient(LinearShape shape, const float* dy, const float* x, const float* weight, float* dx,
                    float* dweight, float* dbias);

}  // namespace onebit::training
