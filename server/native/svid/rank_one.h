// The leading singular pair of |W| by power iteration.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "svid/rank_one_kernels.h"

namespace onebit {

struct RankOneRequest {
  const uint8_t* weights;  // [rows, columns], row-major
  FloatType type;
  int64_t rows;
  int64_t columns;
  double tolerance;     // on the distance of g's direction from the singular vector's
  int max_iterations;   // passes over the matrix
  const int32_t* stop;  // polled between passes; non-zero ends the work
};

struct RankOneResult {
  enum class Status { kDone, kStopped, kNotFinite };
  Status status = Status::kDone;
  std::vector<float> g;        // [columns]
  std::vector<float> h;        // [rows]
  std::vector<uint8_t> signs;  // [rows, ceil(columns / 8)]
  double relative_error = 0;   // ‖W − S ⊙ (h gᵀ)‖ / ‖W‖, Frobenius
  int iterations = 0;
  int64_t bad_row = -1, bad_column = -1;  // where a NaN or infinity stands
};

// W ≈ Sign(W) ⊙ (h gᵀ) with h gᵀ = σ u vᵀ, the leading singular triple of |W|; the scale is split so
// that h and g have the same root mean square (both then sit well inside f16's range). The result
// does not depend on the number of threads. Large matrices use the shared thread pool; small ones
// stay on the calling thread, so that several can be factored at once.
RankOneResult FactorRankOne(const RankOneRequest& request);

}  // namespace onebit
