// The inner loops of SVID, one set per instruction set and weight type (chosen at run time).
// They read a row-major block of rows straight from the checkpoint's bytes, unaligned, in f32, f16
// or bf16; nothing is ever converted into a second matrix.
#pragma once

#include <cstdint>

namespace onebit {

enum class FloatType { kF32 = 0, kF16 = 1, kBF16 = 2 };

inline int64_t FloatSize(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

struct RankOneKernels {
  // sums[j] += Σ_i |W_ij|. Returns the bits of the largest |W_ij| as f32: at or above 0x7f800000
  // when the block holds a NaN or an infinity.
  uint32_t (*scan)(const void* block, int64_t rows, int64_t columns, float* sums);
  // One power step on the block, both products while its rows are in cache:
  // u[i] = scale · Σ_j |W_ij| v[j], then sums[j] += Σ_i u[i] |W_ij|.
  void (*step)(const void* block, int64_t rows, int64_t columns, const float* v, double scale, float* u,
               float* sums);
  // Packs the signs (bit 1 = negative, least significant first, zero packs as +1) into
  // ceil(columns / 8) bytes a row; adds Σ (scale · (|W_ij| − h_i g_j))² and Σ (scale · W_ij)².
  void (*finish)(const void* block, int64_t rows, int64_t columns, const float* h, const float* g, float scale,
                 uint8_t* signs, double* squared_error, double* squared_norm);
  // Rounds count values to f16 (nearest even). Returns the index of a value that is not finite in
  // f16, or −1.
  int64_t (*halve)(const void* values, int64_t count, uint16_t* halves);
};

const RankOneKernels& PortableRankOneKernels(FloatType type);
const RankOneKernels& Avx2RankOneKernels(FloatType type);
const RankOneKernels& Avx512RankOneKernels(FloatType type);

// The best set for this machine (cpu_features.h).
const RankOneKernels& SelectedRankOneKernels(FloatType type);

}  // namespace onebit
