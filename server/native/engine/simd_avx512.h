// Sixteen floats in AVX-512.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "engine/half.h"

namespace onebit {
namespace {

struct Avx512Simd {
  static constexpr int kWidth = 16;
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 4;
  using F = __m512;

  static inline F Set(float x) { return _mm512_set1_ps(x); }
  static inline F Load(const float* p) { return _mm512_loadu_ps(p); }
  static inline void Store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static inline F LoadWeight(F32Weight, const float* p) { return Load(p); }
  static inline F LoadWeight(F16Weight, const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static inline F LoadWeight(Bf16Weight, const uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static inline F LoadWeight(I8Weight, const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static inline void StoreHalf(uint16_t* p, F a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  static inline F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static inline F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static inline F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static inline F Div(F a, F b) { return _mm512_div_ps(a, b); }
  static inline F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static inline F Max(F a, F b) { return _mm512_max_ps(a, b); }
  static inline F Min(F a, F b) { return _mm512_min_ps(a, b); }
  static inline F Round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static inline F PowerOfTwo(F n) { return _mm512_scalef_ps(_mm512_set1_ps(1.0f), n); }
  static inline float Sum(F a) { return _mm512_reduce_add_ps(a); }
  static inline float Largest(F a) { return _mm512_reduce_max_ps(a); }
};

}  // namespace
}  // namespace onebit
