// Four floats in WebAssembly SIMD.
#pragma once

#include <wasm_simd128.h>

#include <cstdint>

#include "engine/half.h"

namespace onebit {
namespace {

struct WasmSimd {
  static constexpr int kWidth = 4;
  static constexpr int kTileRows = 2;
  static constexpr int kTileTokens = 4;
  using F = v128_t;

  static inline F Set(float x) { return wasm_f32x4_splat(x); }
  static inline F Load(const float* p) { return wasm_v128_load(p); }
  static inline void Store(float* p, F a) { wasm_v128_store(p, a); }
  static inline F LoadWeight(F32Weight, const float* p) { return Load(p); }
  // As HalfToFloat.
  static inline F LoadWeight(F16Weight, const uint16_t* p) {
    const F half = wasm_u32x4_load16x4(p);
    const F sign = wasm_i32x4_shl(wasm_v128_and(half, wasm_i32x4_const_splat(0x8000)), 16);
    const F rest = wasm_i32x4_shl(wasm_v128_and(half, wasm_i32x4_const_splat(0x7fff)), 13);
    const F all = wasm_i32x4_const_splat(0x0f800000);
    const F infinite = wasm_v128_and(wasm_i32x4_eq(wasm_v128_and(rest, all), all), wasm_i32x4_const_splat(0x7f800000));
    const F value = wasm_f32x4_mul(rest, wasm_i32x4_const_splat(0x77800000));
    return wasm_v128_or(wasm_v128_or(value, infinite), sign);
  }
  static inline F LoadWeight(Bf16Weight, const uint16_t* p) { return wasm_i32x4_shl(wasm_u32x4_load16x4(p), 16); }
  static inline F LoadWeight(I8Weight, const int8_t* p) {
    const F wide = wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(p));
    return wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(wide));
  }
  static inline void StoreHalf(uint16_t* p, F a) {
    float values[4];
    Store(values, a);
    for (int i = 0; i < 4; i++) p[i] = FloatToHalf(values[i]);
  }
  static inline F Add(F a, F b) { return wasm_f32x4_add(a, b); }
  static inline F Sub(F a, F b) { return wasm_f32x4_sub(a, b); }
  static inline F Mul(F a, F b) { return wasm_f32x4_mul(a, b); }
  static inline F Div(F a, F b) { return wasm_f32x4_div(a, b); }
  static inline F Fma(F a, F b, F c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }
  static inline F Max(F a, F b) { return wasm_f32x4_pmax(a, b); }
  static inline F Min(F a, F b) { return wasm_f32x4_pmin(a, b); }
  static inline F Round(F a) { return wasm_f32x4_nearest(a); }
  // 2^n for whole n in [-126, 127].
  static inline F PowerOfTwo(F n) {
    return wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_const_splat(127)), 23);
  }
  static inline float Sum(F a) {
    return (wasm_f32x4_extract_lane(a, 0) + wasm_f32x4_extract_lane(a, 2)) +
           (wasm_f32x4_extract_lane(a, 1) + wasm_f32x4_extract_lane(a, 3));
  }
  static inline float Largest(F a) {
    float m = wasm_f32x4_extract_lane(a, 0);
    const float rest[3] = {wasm_f32x4_extract_lane(a, 1), wasm_f32x4_extract_lane(a, 2), wasm_f32x4_extract_lane(a, 3)};
    for (float v : rest) m = v > m ? v : m;
    return m;
  }
};

}  // namespace
}  // namespace onebit
