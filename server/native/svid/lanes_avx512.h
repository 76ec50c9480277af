// AVX-512 (F, BW, DQ, VL). For files that are compiled with these flags only.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "svid/float_scalar.h"

namespace onebit {
namespace {

struct Avx512Lanes {
  static constexpr int kWidth = 16;
  using Vec = __m512;
  using Largest = __m512i;

  static Vec Zero() { return _mm512_setzero_ps(); }
  static Vec Splat(float x) { return _mm512_set1_ps(x); }
  static Vec LoadFloats(const float* from) { return _mm512_loadu_ps(from); }
  static void Store(float* to, Vec x) { _mm512_storeu_ps(to, x); }
  template <typename T>
  static Vec Load(const uint8_t* from);
  static Vec Abs(Vec x) { return _mm512_abs_ps(x); }
  static Vec Add(Vec x, Vec y) { return _mm512_add_ps(x, y); }
  static Vec Mul(Vec x, Vec y) { return _mm512_mul_ps(x, y); }
  static Vec Fma(Vec x, Vec y, Vec z) { return _mm512_fmadd_ps(x, y, z); }
  static Largest NoBits() { return _mm512_setzero_si512(); }
  static Largest MaxBits(Largest so_far, Vec x) { return _mm512_max_epu32(so_far, _mm512_castps_si512(x)); }
  static uint32_t Bits(Largest x) { return _mm512_reduce_max_epu32(x); }
  static double Sum(Vec x) {
    return _mm512_reduce_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(x))) +
           _mm512_reduce_add_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)));
  }
  static void StoreNegative(uint8_t* to, Vec x) {
    const uint16_t bits = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    std::memcpy(to, &bits, 2);
  }
  static void StoreHalf(uint16_t* to, Vec x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  // Turns the sign of the lanes whose bit is set; the first lane's bit is the least significant.
  static Vec Flip(Vec x, const uint8_t* bits) {
    uint16_t mask;
    std::memcpy(&mask, bits, 2);
    const __m512i word = _mm512_castps_si512(x);
    return _mm512_castsi512_ps(_mm512_mask_xor_epi32(word, mask, word, _mm512_set1_epi32(INT32_MIN)));
  }
};

template <>
__m512 Avx512Lanes::Load<F32>(const uint8_t* from) {
  return _mm512_loadu_ps(from);
}
template <>
__m512 Avx512Lanes::Load<F16>(const uint8_t* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
template <>
__m512 Avx512Lanes::Load<BF16>(const uint8_t* from) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

}  // namespace
}  // namespace onebit
