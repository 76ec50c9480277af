#include "training/optimizer.h"

#include <vector>

#include "training/rows.h"

namespace onebit::training {

void Adam(i64 n, float* parameter, const float* gradient, float* first, float* second, const AdamStep& step) {
  const Kernels& kernels = Selected();
  ForStretch(n, [&](i64 from, i64 to) {
    kernels.adam(parameter + from, gradient + from, first + from, second + from, to - from, step);
  });
}

double SquaredNorm(i64 n, const float* x) {
  constexpr i64 kPart = 4096;
  const Kernels& kernels = Selected();
  const i64 parts = (n + kPart - 1) / kPart;
  std::vector<double> sums(static_cast<std::size_t>(parts));
  ForRows(parts, kPart, [&](i64 first, i64 last, i64) {
    for (i64 i = first; i < last; i++)
      sums[i] = kernels.dot(x + i * kPart, x + i * kPart, std::min(kPart, n - i * kPart));
  }, 1 << 15);
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

}  // namespace onebit::training
