// The inner loops of the layer inspector, one set per instruction set and weight type (chosen at run time). They read
// packed signs (least significant bit first, 1 = −1) and a row-major block of float weights as a file holds them.
#pragma once

#include <cstdint>

#include "svid/rank_one_kernels.h"

namespace onebit {

// Sums over a block of the teacher's W and Ŵ = S ⊙ (h gᵀ), both times `scale`.
struct CompareSums {
  double error = 0;       // Σ (W − Ŵ)²
  double total = 0;       // Σ W²
  double product = 0;     // Σ W Ŵ
  int64_t different = 0;  // signs of W that S does not have; zero counts as +1
};

struct InspectKernels {
  // Adds to by_row[i] and by_column[j] how many signs are −1. At most 255 rows; columns is a multiple of 8.
  void (*count)(const uint8_t* signs, int64_t rows, int64_t columns, uint32_t* by_row, uint32_t* by_column);
  // Adds a block's sums, and Σ_i |W_ij| to absolute[j]. `negatives` has room for columns / 8 bytes.
  void (*compare)(const void* block, const uint8_t* signs, int64_t rows, int64_t columns, const float* h,
                  const float* g, float scale, uint8_t* negatives, CompareSums* sums, float* absolute);
  // Packs the signs of count weights (a multiple of 8) and returns Σ W².
  double (*pack)(const void* weights, int64_t count, uint8_t* signs);
  // How many of count weights (a multiple of 8) have |w| < limit.
  int64_t (*near_zero)(const void* weights, int64_t count, float limit);
};

const InspectKernels& PortableInspectKernels(FloatType type);
const InspectKernels& Avx2InspectKernels(FloatType type);
const InspectKernels& Avx512InspectKernels(FloatType type);

// The best set for this machine (cpu_features.h).
const InspectKernels& SelectedInspectKernels(FloatType type);

}  // namespace onebit
