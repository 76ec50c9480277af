// Four floats in AArch64 NEON.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "engine/half.h"

namespace onebit {
namespace {

struct NeonSimd {
  static constexpr int kWidth = 4;
  static constexpr int kTileRows = 4;
  static constexpr int kTileTokens = 4;
  using F = float32x4_t;

  static inline F Set(float x) { return vdupq_n_f32(x); }
  static inline F Load(const float* p) { return vld1q_f32(p); }
  static inline void Store(float* p, F a) { vst1q_f32(p, a); }
  static inline F LoadWeight(F32Weight, const float* p) { return Load(p); }
  static inline F LoadWeight(F16Weight, const uint16_t* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
  }
  static inline F LoadWeight(Bf16Weight, const uint16_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
  }
  static inline F LoadWeight(I8Weight, const int8_t* p) {
    int32_t four;
    std::memcpy(&four, p, sizeof four);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
  }
  static inline void StoreHalf(uint16_t* p, F a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a))); }
  static inline F Add(F a, F b) { return vaddq_f32(a, b); }
  static inline F Sub(F a, F b) { return vsubq_f32(a, b); }
  static inline F Mul(F a, F b) { return vmulq_f32(a, b); }
  static inline F Div(F a, F b) { return vdivq_f32(a, b); }
  static inline F Fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static inline F Max(F a, F b) { return vmaxq_f32(a, b); }
  static inline F Min(F a, F b) { return vminq_f32(a, b); }
  static inline F Round(F a) { return vrndnq_f32(a); }
  // 2^n for whole n in [-126, 127].
  static inline F PowerOfTwo(F n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
  }
  static inline float Sum(F a) { return vaddvq_f32(a); }
  static inline float Largest(F a) { return vmaxvq_f32(a); }
};

}  // namespace
}  // namespace onebit
