// Plain C++: eight lanes in an array, which compilers turn into the baseline's vectors (SSE2, NEON).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "svid/float_scalar.h"

namespace onebit {
namespace {

struct PortableLanes {
  static constexpr int kWidth = 8;
  struct Vec {
    float lane[kWidth];
  };
  struct Largest {
    uint32_t lane[kWidth];
  };

  template <typename F>
  static Vec Each(F&& f) {
    Vec out;
    for (int i = 0; i < kWidth; i++) out.lane[i] = f(i);
    return out;
  }

  static Vec Zero() { return Splat(0); }
  static Vec Splat(float x) {
    return Each([&](int) { return x; });
  }
  static Vec LoadFloats(const float* from) {
    return Each([&](int i) { return from[i]; });
  }
  static void Store(float* to, const Vec& x) {
    for (int i = 0; i < kWidth; i++) to[i] = x.lane[i];
  }
  template <typename T>
  static Vec Load(const uint8_t* from) {
    return Each([&](int i) { return T::Read(from + i * T::kSize); });
  }
  static Vec Abs(const Vec& x) {
    return Each([&](int i) { return std::fabs(x.lane[i]); });
  }
  static Vec Add(const Vec& x, const Vec& y) {
    return Each([&](int i) { return x.lane[i] + y.lane[i]; });
  }
  static Vec Mul(const Vec& x, const Vec& y) {
    return Each([&](int i) { return x.lane[i] * y.lane[i]; });
  }
  static Vec Fma(const Vec& x, const Vec& y, const Vec& z) {
    return Each([&](int i) { return x.lane[i] * y.lane[i] + z.lane[i]; });
  }
  static Largest NoBits() { return {}; }
  static Largest MaxBits(const Largest& so_far, const Vec& x) {
    Largest out;
    for (int i = 0; i < kWidth; i++) out.lane[i] = Larger(so_far.lane[i], FloatBits(x.lane[i]));
    return out;
  }
  static uint32_t Bits(const Largest& x) {
    uint32_t largest = 0;
    for (const uint32_t bits : x.lane) largest = Larger(largest, bits);
    return largest;
  }
  static double Sum(const Vec& x) {
    double sum = 0;
    for (const float lane : x.lane) sum += lane;
    return sum;
  }
  static void StoreNegative(uint8_t* to, const Vec& x) {
    unsigned bits = 0;
    for (int i = 0; i < kWidth; i++) bits |= (x.lane[i] < 0 ? 1u : 0u) << i;
    *to = static_cast<uint8_t>(bits);
  }
  static void StoreHalf(uint16_t* to, const Vec& x) {
    for (int i = 0; i < kWidth; i++) to[i] = FloatToHalf(x.lane[i]);
  }
  // Turns the sign of the lanes whose bit is set; the first lane's bit is the least significant.
  static Vec Flip(const Vec& x, const uint8_t* bits) {
    const uint32_t byte = *bits;
    return Each([&](int i) { return BitsFloat(FloatBits(x.lane[i]) ^ (byte >> i & 1u) << 31); });
  }
};

}  // namespace
}  // namespace onebit
