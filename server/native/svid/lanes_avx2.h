// AVX2 with FMA and F16C. For files that are compiled with these flags only.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "svid/float_scalar.h"

namespace onebit {
namespace {

struct Avx2Lanes {
  static constexpr int kWidth = 8;
  using Vec = __m256;
  using Largest = __m256i;

  static Vec Zero() { return _mm256_setzero_ps(); }
  static Vec Splat(float x) { return _mm256_set1_ps(x); }
  static Vec LoadFloats(const float* from) { return _mm256_loadu_ps(from); }
  static void Store(float* to, Vec x) { _mm256_storeu_ps(to, x); }
  template <typename T>
  static Vec Load(const uint8_t* from);
  static Vec Abs(Vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static Vec Add(Vec x, Vec y) { return _mm256_add_ps(x, y); }
  static Vec Mul(Vec x, Vec y) { return _mm256_mul_ps(x, y); }
  static Vec Fma(Vec x, Vec y, Vec z) { return _mm256_fmadd_ps(x, y, z); }
  static Largest NoBits() { return _mm256_setzero_si256(); }
  static Largest MaxBits(Largest so_far, Vec x) { return _mm256_max_epu32(so_far, _mm256_castps_si256(x)); }
  static uint32_t Bits(Largest x) {
    alignas(32) uint32_t lane[kWidth];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lane), x);
    uint32_t largest = 0;
    for (const uint32_t bits : lane) largest = Larger(largest, bits);
    return largest;
  }
  static double Sum(Vec x) {
    const __m256d sums =
        _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
    alignas(32) double lane[4];
    _mm256_store_pd(lane, sums);
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
  }
  static void StoreNegative(uint8_t* to, Vec x) {
    *to = static_cast<uint8_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ)));
  }
  static void StoreHalf(uint16_t* to, Vec x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  // Turns the sign of the lanes whose bit is set; the first lane's bit is the least significant.
  static Vec Flip(Vec x, const uint8_t* bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(*bits), lane), lane);
    return _mm256_xor_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(set, 31)));
  }
};

template <>
__m256 Avx2Lanes::Load<F32>(const uint8_t* from) {
  return _mm256_loadu_ps(reinterpret_cast<const float*>(from));
}
template <>
__m256 Avx2Lanes::Load<F16>(const uint8_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
template <>
__m256 Avx2Lanes::Load<BF16>(const uint8_t* from) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

}  // namespace
}  // namespace onebit
