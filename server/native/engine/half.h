// fp16 and bf16 as plain integers, one value at a time: the portable path, and the tails of vectors.
// Everything here has internal linkage: a copy compiled for AVX-512 must never serve another CPU.
#pragma once

#include <cstdint>
#include <cstring>

namespace onebit {

static inline float FloatFromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t rest = static_cast<uint32_t>(half & 0x7fffu) << 13;
  if ((half & 0x7c00u) == 0x7c00u) return FloatFromBits(sign | rest | 0x7f800000u);
  // 2^112 moves the exponent's bias from 15 to 127, subnormals included.
  return FloatFromBits(sign | BitsOfFloat(FloatFromBits(rest) * FloatFromBits(0x77800000u)));
}

// Rounds to nearest even; beyond 65504 becomes infinity.
static inline uint16_t FloatToHalf(float value) {
  const uint32_t bits = BitsOfFloat(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Adding 0.5 leaves the subnormal half, rounded by the FPU, in the lowest bits.
    const uint32_t sum = BitsOfFloat(FloatFromBits(magnitude) + 0.5f);
    return static_cast<uint16_t>(sign | (sum - 0x3f000000u));
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

static inline float Bf16ToFloat(uint16_t value) { return FloatFromBits(static_cast<uint32_t>(value) << 16); }

// The stored types of float weights, as template arguments.
struct F32Weight {
  using Stored = float;
  static inline float Get(float value) { return value; }
};
struct F16Weight {
  using Stored = uint16_t;
  static inline float Get(uint16_t value) { return HalfToFloat(value); }
};
struct Bf16Weight {
  using Stored = uint16_t;
  static inline float Get(uint16_t value) { return Bf16ToFloat(value); }
};
// Whole numbers, which a row's scale makes weights of.
struct I8Weight {
  using Stored = int8_t;
  static inline float Get(int8_t value) { return static_cast<float>(value); }
};

}  // namespace onebit
