// 1-bit products on sign words of one byte (8 columns of one row), 32 rows side by side: the layout of
// AVX2, NEON and plain C++. Two nibbles of a byte choose from the tables of columns 0-3 and 4-7.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "engine/float_kernels.h"
#include "engine/kernels.h"

namespace onebit {
namespace {

// The 16 signed sums of 4 inputs: entry b has −input[j] where bit j of b is set.
template <class T>
inline void SignedSums(const T* input, T* entries) {
  entries[0] = (input[0] + input[1]) + (input[2] + input[3]);
  for (int j = 0; j < 4; j++) {
    for (int b = 0; b < (1 << j); b++) entries[(1 << j) + b] = entries[b] - 2 * input[j];
  }
}

// Rounds x·g of one column block to integers at its scale (kernels.h), which it returns.
inline float QuantizeBlock(const float* x, const float* g, int columns, int* quantized) {
  float largest = 0.0f;
  for (int c = 0; c < columns; c += kSpanColumns) {
    const int end = c + kSpanColumns < columns ? c + kSpanColumns : columns;
    float sum = 0.0f;
    for (int k = c; k < end; k++) sum += std::fabs(x[k] * g[k]);
    largest = sum > largest ? sum : largest;
  }
  const float inverse = largest > 0.0f ? kSpanMost / largest : 0.0f;
  for (int c = 0; c < columns; c++) quantized[c] = static_cast<int>(std::nearbyintf(x[c] * g[c] * inverse));
  return largest / kSpanMost;
}

// Tables of 16 two-byte entries as two planes for byte shuffles: 16 low bytes, then 16 high bytes.
inline void MakePlaneTable(const float* x, const float* g, int columns, void* table, float* scale) {
  int quantized[kColumnBlock];
  *scale = QuantizeBlock(x, g, columns, quantized);
  auto* out = static_cast<uint8_t*>(table);
  for (int c = 0; c < columns; c += 4, out += 32) {
    int entries[16];
    SignedSums(quantized + c, entries);
    for (int b = 0; b < 16; b++) {
      out[b] = static_cast<uint8_t>(entries[b]);
      out[16 + b] = static_cast<uint8_t>(entries[b] >> 8);
    }
  }
}

// f32 tables for the exact path.
inline void MakeFloatTable(const float* x, const float* g, int columns, void* table, float* scale) {
  auto* out = static_cast<float*>(table);
  for (int c = 0; c < columns; c += 4, out += 16) {
    float products[4];
    for (int j = 0; j < 4; j++) products[j] = x[c + j] * g[c + j];
    SignedSums(products, out);
  }
  *scale = 1.0f;
}

// The exact product, one look-up at a time. Sums of 64 columns are added up in double.
inline void FloatSignBlock(const void* words, int groups, int columns, const void* tables, int64_t table_stride,
                           const float*, int tokens, float* y, int64_t y_stride, bool accumulate) {
  for (int group = 0; group < groups; group++) {
    for (int t = 0; t < tokens; t++) {
      const float* table = reinterpret_cast<const float*>(static_cast<const char*>(tables) + t * table_stride);
      double total[kSignLanes] = {};
      for (int c = 0; c < columns; c += kSpanColumns) {
        const int end = c + kSpanColumns < columns ? c + kSpanColumns : columns;
        float sum[kSignLanes] = {};
        for (int k = c; k < end; k += 8) {
          const uint8_t* lanes = static_cast<const uint8_t*>(words) + (static_cast<int64_t>(k / 8) * groups + group) * kSignLanes;
          const float* low = table + 4 * k;
          const float* high = low + 16;
          for (int lane = 0; lane < kSignLanes; lane++) sum[lane] += low[lanes[lane] & 15] + high[lanes[lane] >> 4];
        }
        for (int lane = 0; lane < kSignLanes; lane++) total[lane] += sum[lane];
      }
      float* out = y + t * y_stride + group * kSignLanes;
      for (int lane = 0; lane < kSignLanes; lane++) {
        const float sum = static_cast<float>(total[lane]);
        out[lane] = accumulate ? out[lane] + sum : sum;
      }
    }
  }
}

// The kernels of an instruction set with this layout: those of floats, and its own for 1-bit products.
template <class Simd>
Kernels ByteWordKernels(std::decay_t<decltype(Kernels::make_table[0])> make_table,
                        std::decay_t<decltype(Kernels::sign_block[0])> sign_block,
                        std::decay_t<decltype(Kernels::sign_block[0])> exact_sign_block) {
  Kernels table{};
  FloatKernels<Simd>::Fill(table);
  table.sign_word_bytes = 1;
  table.sign_block_groups = 1;
  table.token_tile = 2;
  table.table_bytes[kDefault] = 256;
  table.make_table[kDefault] = make_table;
  table.sign_block[kDefault] = sign_block;
  table.table_bytes[kExact] = 512;
  table.make_table[kExact] = MakeFloatTable;
  table.sign_block[kExact] = exact_sign_block;
  return table;
}

}  // namespace
}  // namespace onebit
