// The losses: cross-entropy, KL divergence of two softmaxes, distance of directions. Each returns its mean over
// the rows; gradients are those of that mean times `dy`.
#pragma once
#include <cstdint>

#include "training/kernels.h"

namespace onebit::training {

// labels[rows] in [0, width); mask[rows] or null. log_sum[rows] is kept for the gradient.
float CrossEntropy(i64 rows, i64 width, const float* logits, const std::int32_t* labels, const float* mask,
                   float* log_sum);
void CrossEntropyGradient(i64 rows, i64 width, float dy, const float* logits, const std::int32_t* labels,
                          const float* mask, const float* log_sum, float* dlogits);

float SoftmaxKl(i64 rows, i64 width, const float* teacher, const float* student, float* teacher_log,
                float* student_log);
void SoftmaxKlGradient(i64 rows, i64 width, float dy, const float* teacher, const float* student,
                       const float* teacher_log, const float* student_log, float* dstudent);

float UnitDistance(i64 rows, i64 width, const float* a, const float* b);
void UnitDistanceGradient(i64 rows, i64 width, float dy, const float* a, const float* b, float* da, float* db);

}  // namespace onebit::training
