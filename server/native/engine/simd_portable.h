// Eight floats without intrinsics; the compiler makes of it what the baseline CPU has.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/half.h"

namespace onebit {
namespace {

struct PortableSimd {
  static constexpr int kWidth = 8;
  // Rows and tokens of a tile of the float product, as many as the registers hold.
  static constexpr int kTileRows = 2;
  static constexpr int kTileTokens = 2;
  struct F {
    float v[8];
  };

  template <typename Op>
  static inline F Make(Op op) {
    F r;
    for (int i = 0; i < 8; i++) r.v[i] = op(i);
    return r;
  }
  static inline F Set(float x) {
    return Make([&](int) { return x; });
  }
  static inline F Load(const float* p) {
    return Make([&](int i) { return p[i]; });
  }
  static inline void Store(float* p, F a) {
    for (int i = 0; i < 8; i++) p[i] = a.v[i];
  }
  static inline F LoadWeight(F32Weight, const float* p) { return Load(p); }
  static inline F LoadWeight(F16Weight, const uint16_t* p) {
    return Make([&](int i) { return HalfToFloat(p[i]); });
  }
  static inline F LoadWeight(Bf16Weight, const uint16_t* p) {
    return Make([&](int i) { return Bf16ToFloat(p[i]); });
  }
  static inline F LoadWeight(I8Weight, const int8_t* p) {
    return Make([&](int i) { return static_cast<float>(p[i]); });
  }
  static inline void StoreHalf(uint16_t* p, F a) {
    for (int i = 0; i < 8; i++) p[i] = FloatToHalf(a.v[i]);
  }
  static inline F Add(F a, F b) {
    return Make([&](int i) { return a.v[i] + b.v[i]; });
  }
  static inline F Sub(F a, F b) {
    return Make([&](int i) { return a.v[i] - b.v[i]; });
  }
  static inline F Mul(F a, F b) {
    return Make([&](int i) { return a.v[i] * b.v[i]; });
  }
  static inline F Div(F a, F b) {
    return Make([&](int i) { return a.v[i] / b.v[i]; });
  }
  static inline F Fma(F a, F b, F c) {
    return Make([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  static inline F Max(F a, F b) {
    return Make([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static inline F Min(F a, F b) {
    return Make([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static inline F Round(F a) {
    return Make([&](int i) { return std::nearbyintf(a.v[i]); });
  }
  // 2^n for whole n in [-126, 127].
  static inline F PowerOfTwo(F n) {
    return Make([&](int i) { return FloatFromBits(static_cast<uint32_t>(static_cast<int>(n.v[i]) + 127) << 23); });
  }
  static inline float Sum(F a) {
    return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7]));
  }
  static inline float Largest(F a) {
    float m = a.v[0];
    for (int i = 1; i < 8; i++) m = a.v[i] > m ? a.v[i] : m;
    return m;
  }
};

}  // namespace
}  // namespace onebit
