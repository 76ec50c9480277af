// Kernels for AVX2 with FMA and F16C.
#include <immintrin.h>

#include "engine/float_kernels.h"
#include "engine/kernels.h"
#include "engine/sign_kernels_bytes.h"
#include "engine/simd_avx2.h"

namespace onebit {
namespace {

// Adds the 16-bit sums of rows (0-7, 16-23) and (8-15, 24-31) to the 32-bit sums of rows 0-31.
inline void WidenSums(__m256i low, __m256i high, __m256i* wide) {
  wide[0] = _mm256_add_epi32(wide[0], _mm256_cvtepi16_epi32(_mm256_castsi256_si128(low)));
  wide[1] = _mm256_add_epi32(wide[1], _mm256_cvtepi16_epi32(_mm256_castsi256_si128(high)));
  wide[2] = _mm256_add_epi32(wide[2], _mm256_cvtepi16_epi32(_mm256_extracti128_si256(low, 1)));
  wide[3] = _mm256_add_epi32(wide[3], _mm256_cvtepi16_epi32(_mm256_extracti128_si256(high, 1)));
}

// Looks 32 nibbles up in a plane table and adds the 16-bit entries.
inline void AddEntries(__m256i nibbles, const uint8_t* table, __m256i& low_sum, __m256i& high_sum) {
  const __m256i low_plane = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  const __m256i high_plane = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16)));
  const __m256i low = _mm256_shuffle_epi8(low_plane, nibbles);
  const __m256i high = _mm256_shuffle_epi8(high_plane, nibbles);
  low_sum = _mm256_add_epi16(low_sum, _mm256_unpacklo_epi8(low, high));
  high_sum = _mm256_add_epi16(high_sum, _mm256_unpackhi_epi8(low, high));
}

template <int T>
inline void SignTile(const uint8_t* words, int columns, const uint8_t* tables, int64_t table_stride,
                     const float* scales, float* y, int64_t y_stride, bool accumulate) {
  const __m256i nibble = _mm256_set1_epi8(15);
  __m256i wide[T][4];
  ONEBIT_UNROLL for (int t = 0; t < T; t++) for (int i = 0; i < 4; i++) wide[t][i] = _mm256_setzero_si256();
  for (int c = 0; c < columns; c += kSpanColumns) {
    const int end = c + kSpanColumns < columns ? c + kSpanColumns : columns;
    __m256i low[T], high[T];
    ONEBIT_UNROLL for (int t = 0; t < T; t++) low[t] = high[t] = _mm256_setzero_si256();
    for (int k = c; k < end; k += 8) {
      const uint8_t* p = words + 4 * k;
      const __m256i signs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      const __m256i first = _mm256_and_si256(signs, nibble);
      const __m256i second = _mm256_and_si256(_mm256_srli_epi16(signs, 4), nibble);
      ONEBIT_UNROLL for (int t = 0; t < T; t++) {
        const uint8_t* table = tables + t * table_stride + 8 * k;
        AddEntries(first, table, low[t], high[t]);
        AddEntries(second, table + 32, low[t], high[t]);
      }
    }
    ONEBIT_UNROLL for (int t = 0; t < T; t++) WidenSums(low[t], high[t], wide[t]);
  }
  ONEBIT_UNROLL for (int t = 0; t < T; t++) {
    const __m256 scale = _mm256_set1_ps(scales[t]);
    for (int i = 0; i < 4; i++) {
      float* out = y + t * y_stride + 8 * i;
      const __m256 before = accumulate ? _mm256_loadu_ps(out) : _mm256_setzero_ps();
      _mm256_storeu_ps(out, _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(wide[t][i]), before));
    }
  }
}

void SignBlock(const void* words, int, int columns, const void* tables, int64_t table_stride, const float* scales,
               int tokens, float* y, int64_t y_stride, bool accumulate) {
  const auto* w = static_cast<const uint8_t*>(words);
  const auto* table = static_cast<const uint8_t*>(tables);
  if (tokens == 1) SignTile<1>(w, columns, table, table_stride, scales, y, y_stride, accumulate);
  else SignTile<2>(w, columns, table, table_stride, scales, y, y_stride, accumulate);
}

// The exact product: a table of 16 floats is two permutations of 8 and a choice by the highest bit.
void ExactSignBlock(const void* words, int, int columns, const void* tables, int64_t table_stride, const float*,
                    int tokens, float* y, int64_t y_stride, bool accumulate) {
  for (int t = 0; t < tokens; t++) {
    const float* table = reinterpret_cast<const float*>(static_cast<const char*>(tables) + t * table_stride);
    __m256 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm256_setzero_ps();
    for (int c = 0; c < columns; c += 8) {
      const uint8_t* lanes = static_cast<const uint8_t*>(words) + 4 * c;
      for (int nibble = 0; nibble < 2; nibble++) {
        const __m256 first = _mm256_loadu_ps(table + 4 * c + 16 * nibble);
        const __m256 second = _mm256_loadu_ps(table + 4 * c + 16 * nibble + 8);
        for (int i = 0; i < 4; i++) {
          const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(lanes + 8 * i)));
          const __m256i index = _mm256_srli_epi32(bytes, 4 * nibble);
          const __m256 choice = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
          sum[i] = _mm256_add_ps(sum[i], _mm256_blendv_ps(_mm256_permutevar8x32_ps(first, index),
                                                          _mm256_permutevar8x32_ps(second, index), choice));
        }
      }
    }
    for (int i = 0; i < 4; i++) {
      float* out = y + t * y_stride + 8 * i;
      _mm256_storeu_ps(out, accumulate ? _mm256_add_ps(_mm256_loadu_ps(out), sum[i]) : sum[i]);
    }
  }
}

}  // namespace

const Kernels& Avx2Kernels() {
  static const Kernels table = ByteWordKernels<Avx2Simd>(MakePlaneTable, SignBlock, ExactSignBlock);
  return table;
}

}  // namespace onebit
