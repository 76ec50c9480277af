#include "training/losses.h"

#include <cmath>
#include <vector>

#include "training/rows.h"

namespace onebit::training {
namespace {

// The sum of f(row) over all rows, in double: added up in the same order whatever the number of threads.
template <typename F>
double SumRows(i64 rows, i64 width, F&& f) {
  std::vector<double> values(static_cast<std::size_t>(rows));
  ForRows(rows, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++) values[r] = f(r);
  });
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}

double Weights(i64 rows, const float* mask) {
  if (mask == nullptr) return static_cast<double>(rows);
  double sum = 0;
  for (i64 r = 0; r < rows; r++) sum += mask[r];
  return sum > 1e-9 ? sum : 1e-9;
}

constexpr float kTiny = 1e-24f;  // keeps the direction of a row of zeros finite

}  // namespace

float CrossEntropy(i64 rows, i64 width, const float* logits, const std::int32_t* labels, const float* mask,
                   float* log_sum) {
  const Kernels& kernels = Selected();
  const double sum = SumRows(rows, width, [&](i64 r) -> double {
    if (mask != nullptr && mask[r] == 0) return log_sum[r] = 0;
    log_sum[r] = kernels.log_sum_exp(logits + r * width, width);
    return (static_cast<double>(log_sum[r]) - logits[r * width + labels[r]]) * (mask == nullptr ? 1.0 : mask[r]);
  });
  return static_cast<float>(sum / Weights(rows, mask));
}

void CrossEntropyGradient(i64 rows, i64 width, float dy, const float* logits, const std::int32_t* labels,
                          const float* mask, const float* log_sum, float* dlogits) {
  const Kernels& kernels = Selected();
  const double share = dy / Weights(rows, mask);
  ForRows(rows, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++) {
      float* d = dlogits + r * width;
      const float factor = static_cast<float>(share * (mask == nullptr ? 1.0 : mask[r]));
      if (factor == 0) {
        for (i64 i = 0; i < width; i++) d[i] = 0;
        continue;
      }
      // The factor goes into the exponent where its sign allows, which saves a pass.
      if (factor > 0) {
        kernels.exp_row(logits + r * width, 1, log_sum[r] - std::log(factor), d, width);
      } else {
        kernels.exp_row(logits + r * width, 1, log_sum[r], d, width);
        kernels.unary(Unary::kScale, d, factor, d, width);
      }
      d[labels[r]] -= factor;
    }
  });
}

float SoftmaxKl(i64 rows, i64 width, const float* teacher, const float* student, float* teacher_log,
                float* student_log) {
  const Kernels& kernels = Selected();
  const double sum = SumRows(rows, width, [&](i64 r) -> double {
    teacher_log[r] = kernels.log_sum_exp(teacher + r * width, width);
    student_log[r] = kernels.log_sum_exp(student + r * width, width);
    return kernels.kl_row(teacher + r * width, teacher_log[r], student + r * width, student_log[r], width);
  });
  return static_cast<float>(sum / static_cast<double>(rows));
}

void SoftmaxKlGradient(i64 rows, i64 width, float dy, const float* teacher, const float* student,
                       const float* teacher_log, const float* student_log, float* dstudent) {
  const Kernels& kernels = Selected();
  const float factor = dy / static_cast<float>(rows);
  ForRows(rows, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++)
      kernels.kl_row_gradient(teacher + r * width, teacher_log[r], student + r * width, student_log[r], factor,
                              dstudent + r * width, width);
  });
}

float UnitDistance(i64 rows, i64 width, const float* a, const float* b) {
  const Kernels& kernels = Selected();
  const double sum = SumRows(rows, width, [&](i64 r) -> double {
    const float* left = a + r * width;
    const float* right = b + r * width;
    const double aa = kernels.dot(left, left, width), bb = kernels.dot(right, right, width);
    // The squared difference itself, not 2 - 2 cos, which would lose close directions to rounding.
    return kernels.difference(left, static_cast<float>(1 / std::sqrt(aa + kTiny)), right,
                              static_cast<float>(1 / std::sqrt(bb + kTiny)), width);
  });
  return static_cast<float>(sum / static_cast<double>(rows));
}

void UnitDistanceGradient(i64 rows, i64 width, float dy, const float* a, const float* b, float* da, float* db) {
  const Kernels& kernels = Selected();
  const double factor = 2.0 * dy / static_cast<double>(rows);
  ForRows(rows, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++) {
      const float* left = a + r * width;
      const float* right = b + r * width;
      const double aa = kernels.dot(left, left, width) + kTiny, bb = kernels.dot(right, right, width) + kTiny;
      const double ab = kernels.dot(left, right, width);
      const double across = factor / std::sqrt(aa * bb);
      // d/da of -2 cos: factor * (a cos / |a| - b / |b|) / |a|.
      kernels.blend(static_cast<float>(across * ab / aa), left, static_cast<float>(-across), right, da + r * width,
                    width);
      kernels.blend(static_cast<float>(across * ab / bb), right, static_cast<float>(-across), left, db + r * width,
                    width);
    }
  });
}

}  // namespace onebit::training
