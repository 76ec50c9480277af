// One weight at a time, in plain C++: the tails of rows and the portable path.
#pragma once

#include <cstdint>
#include <cstring>

namespace onebit {
// Internal linkage: files compiled for different instruction sets must not share these bodies.
namespace {

inline uint32_t FloatBits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

inline float BitsFloat(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// Not std::max: a shared template body compiled for AVX-512 could be the one that the linker keeps.
inline uint32_t Larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

inline float HalfToFloat(uint16_t half) {
#if defined(__aarch64__)
  __fp16 x;
  std::memcpy(&x, &half, 2);
  return static_cast<float>(x);
#else
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t rest = half & 0x7fffu;
  if (rest >= 0x7c00u) return BitsFloat(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  // 2^112 moves the exponent's bias from 15 to 127 and makes subnormals normal.
  return BitsFloat(sign | FloatBits(BitsFloat(rest << 13) * 5.192296858534828e33f));
#endif
}

// Round to nearest even; what is too large becomes infinity.
inline uint16_t FloatToHalf(float x) {
  const uint32_t bits = FloatBits(x);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (rest >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (rest < 0x38800000u) {
    // Adding 0.5 puts the subnormal's last bit at the last bit of the sum, which rounds it.
    return static_cast<uint16_t>(sign | (FloatBits(BitsFloat(rest) + 0.5f) - 0x3f000000u));
  }
  return static_cast<uint16_t>(sign | ((rest + 0xfffu + (rest >> 13 & 1u) - 0x38000000u) >> 13));
}

// The stored types. Read() takes any address: tensors in a file are not aligned.
struct F32 {
  static constexpr int kSize = 4;
  static float Read(const uint8_t* at) {
    float x;
    std::memcpy(&x, at, 4);
    return x;
  }
};

struct F16 {
  static constexpr int kSize = 2;
  static float Read(const uint8_t* at) {
    uint16_t x;
    std::memcpy(&x, at, 2);
    return HalfToFloat(x);
  }
};

struct BF16 {
  static constexpr int kSize = 2;
  static float Read(const uint8_t* at) {
    uint16_t x;
    std::memcpy(&x, at, 2);
    return BitsFloat(static_cast<uint32_t>(x) << 16);
  }
};

}  // namespace
}  // namespace onebit
