#include "training/norm.h"

#include <cstring>

#include "training/rows.h"
#include "training/scratch.h"

namespace onebit::training {

void RmsNorm(i64 rows, i64 width, const float* x, const float* gain, float eps, float* y, float* inverse) {
  const Kernels& kernels = Selected();
  ForRows(rows, width, [&](i64 first, i64 last, int) {
    for (i64 r = first; r < last; r++) inverse[r] = kernels.rms_norm(x + r * width, gain, y + r * width, width, eps);
  });
}

void RmsNormGradient(i64 rows, i64 width, const float* dy, const float* x, const float* gain, const float* inverse,
                     float* dx, float* dgain) {
  const Kernels& kernels = Selected();
  const int threads = ThreadPool::Shared().threads();
  float* parts = Scratch(Slot::kPartial, static_cast<std::size_t>(threads) * width);
  std::memset(parts, 0, static_cast<std::size_t>(threads) * width * sizeof(float));
  ForRows(rows, width, [&](i64 first, i64 last, int part) {
    for (i64 r = first; r < last; r++)
      kernels.rms_norm_gradient(dy + r * width, x + r * width, gain, inverse[r], dx + r * width,
                                dgain == nullptr ? nullptr : parts + part * width, width);
  });
  if (dgain == nullptr) return;
  std::memcpy(dgain, parts, width * sizeof(float));
  for (int part = 1; part < threads; part++) kernels.combine(1, parts + part * width, 1, dgain, width);
}

}  // namespace onebit::training
