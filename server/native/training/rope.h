// Rotary position embedding in Hugging Face's order: element i of a head turns with element i + head_dim / 2.
#pragma once
#include "training/kernels.h"

namespace onebit::training {

// cos and sin of position * frequency, [window, head_dim / 2] each, for the calls that follow on this thread's
// scratch.
struct Angles {
  const float* cos;
  const float* sin;
};

Angles RopeAngles(i64 window, i64 head_dim, const float* frequencies);

// y = x turned (or turned back); row r has position r % window. heads = width / head_dim. y may be x.
void Rope(i64 rows, i64 width, i64 window, i64 head_dim, Angles angles, bool inverse, const float* x, float* y);

}  // namespace onebit::training
