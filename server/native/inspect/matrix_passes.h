// One pass each over a whole matrix, on the shared thread pool. Results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "inspect/inspect_kernels.h"

namespace onebit {

struct MatrixView {
  const uint8_t* bytes;  // [rows, columns] of type, row-major
  FloatType type;
  int64_t rows;
  int64_t columns;  // a multiple of 8 wherever signs are packed
};

struct NegativeCounts {
  std::vector<uint32_t> by_row;     // [rows]
  std::vector<uint32_t> by_column;  // [columns]
};
NegativeCounts CountNegative(const uint8_t* signs, int64_t rows, int64_t columns);

struct Comparison {
  CompareSums sums;              // not scaled
  std::vector<double> absolute;  // [columns]: Σ_i |W_ij|
};
Comparison CompareWithTeacher(const MatrixView& w, const uint8_t* signs, const float* g, const float* h);

struct AbsoluteStep {
  double squares = 0;            // ‖ |W| v ‖²
  std::vector<double> product;  // [columns]: |W|ᵀ |W| v
};
// `scale` keeps the numbers inside f32: a power of two near one over a typical weight.
AbsoluteStep StepAbsolute(const MatrixView& w, const float* v, double scale);

struct LatentSigns {
  std::vector<uint8_t> signs;  // [rows, columns / 8]
  double squares = 0;          // ‖W‖²
  int64_t near_zero = 0;       // |w| < part · RMS
};
LatentSigns PackLatent(const MatrixView& w, double part);

}  // namespace onebit
