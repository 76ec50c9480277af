#include "training/norm.h"

#include "training/partial_sums.h"

namespace onebit::training {

void RmsNorm(i64 rows, i64 width, const float* x, const float* gain, float eps, float* y, float* inverse) {
  const Kernels& kernels = Selected();
  ForRows(rows, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++) inverse[r] = kernels.rms_norm(x + r * width, gain, y + r * width, width, eps);
  });
}

void RmsNormGradient(i64 rows, i64 width, const float* dy, const float* x, const float* gain, const float* inverse,
                     float* dx, float* dgain) {
  const Kernels& kernels = Selected();
  const PartialSums sums(rows, width, width);
  ForRows(rows, width, [&](i64 first, i64 last, i64 piece) {
    for (i64 r = first; r < last; r++)
      kernels.rms_norm_gradient(dy + r * width, x + r * width, gain, inverse[r], dx + r * width,
                                dgain == nullptr ? nullptr : sums.Part(piece), width);
  });
  if (dgain != nullptr) sums.Total(dgain);
}

}  // namespace onebit::training
