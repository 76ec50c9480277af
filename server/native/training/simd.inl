// Vectors of ONEBIT_LANES floats by compiler extensions (GCC, Clang): one source for AVX-512, AVX2, SSE2 and
// NEON. Included once by each file that is compiled for one instruction set; everything lives in an
// anonymous namespace, or the linker would mix the sets.
#include <cstdint>
#include <cstring>

namespace {

constexpr int kLanes = ONEBIT_LANES;
typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef std::int32_t IntVec __attribute__((vector_size(4 * kLanes)));
typedef std::int64_t i64;

inline Vec Splat(float x) { return Vec{} + x; }

inline Vec Load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

inline void Store(float* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }

// The first `left` lanes of p, the others filled; left may be larger than a vector.
inline Vec Load(const float* p, i64 left, float fill = 0) {
  if (__builtin_expect(left >= kLanes, 1)) return Load(p);
  float lanes[kLanes];
  for (int i = 0; i < kLanes; i++) lanes[i] = i < left ? p[i] : fill;
  return Load(lanes);
}

inline void Store(float* p, Vec v, i64 left) {
  if (__builtin_expect(left >= kLanes, 1)) return Store(p, v);
  float lanes[kLanes];
  Store(lanes, v);
  for (int i = 0; i < left; i++) p[i] = lanes[i];
}

inline Vec Select(IntVec mask, Vec yes, Vec no) { return mask ? yes : no; }
inline Vec Max(Vec a, Vec b) { return a > b ? a : b; }

// Horizontal sum and maximum, in a fixed order: halves on halves.
inline float Sum(Vec v) {
  float lanes[kLanes];
  Store(lanes, v);
#pragma GCC unroll 4
  for (int width = kLanes / 2; width >= 4; width /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  }
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

inline float Highest(Vec v) {
  float lanes[kLanes];
  Store(lanes, v);
#pragma GCC unroll 4
  for (int width = kLanes / 2; width >= 1; width /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  }
  return lanes[0];
}

// exp, relative error below 2e-7 where the result is normal; flushes to 0 below -87.3, saturates above 88.
inline Vec Exp(Vec x) {
  const Vec low = Splat(-87.3f);
  const IntVec underflow = x < low;
  // In this order NaN stays NaN: a training run that diverges must show it.
  x = Select(underflow, low, x);
  x = Select(x > Splat(88.0f), Splat(88.0f), x);
  const Vec magic = Splat(12582912.0f);  // adding it rounds to an integer
  const Vec n = (x * 1.44269504f + magic) - magic;
  Vec f = x - n * 0.693359375f;
  f = f + n * 2.12194440e-4f;
  Vec p = Splat(1.9875691500e-4f);
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * f * f + f + 1.0f;
  const IntVec bits = (__builtin_convertvector(n, IntVec) + 127) << 23;
  return Select(underflow, Vec{}, p * (Vec)bits);
}

inline Vec Sigmoid(Vec x) { return 1.0f / (1.0f + Exp(-x)); }

inline Vec Sqrt(Vec v) {
  Vec r;
  for (int i = 0; i < kLanes; i++) r[i] = __builtin_sqrtf(v[i]);
  return r;
}

}  // namespace
