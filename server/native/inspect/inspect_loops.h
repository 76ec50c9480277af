// The loops of inspect_kernels.h over a `Lanes` class (svid/lanes_*.h).
#pragma once

#include <cmath>
#include <cstring>

#include "inspect/inspect_kernels.h"
#include "svid/float_scalar.h"

namespace onebit {
namespace {

inline uint32_t CountBits(uint64_t x) {
  x -= x >> 1 & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<uint32_t>(x * 0x0101010101010101u >> 56);
}

// Bits that differ in two rows of bytes.
inline int64_t CountDifferent(const uint8_t* a, const uint8_t* b, int64_t bytes) {
  int64_t count = 0;
  int64_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    uint64_t x, y;
    std::memcpy(&x, a + i, 8);
    std::memcpy(&y, b + i, 8);
    count += CountBits(x ^ y);
  }
  for (; i < bytes; i++) count += CountBits(static_cast<uint64_t>(a[i] ^ b[i]));
  return count;
}

// Counts a strip of up to W × 64 columns with counters that lie across words, bit by bit: plane p holds bit p of the
// count of every column, and adding a row ripples through eight planes for all columns at once.
template <int W>
void CountStrip(const uint8_t* signs, int64_t rows, int64_t stride, int64_t bytes, uint32_t* by_row,
                uint32_t* by_column) {
  uint64_t planes[8][W] = {};
  for (int64_t i = 0; i < rows; i++) {
    uint64_t carry[W] = {};
    std::memcpy(carry, signs + i * stride, static_cast<size_t>(bytes));
    uint32_t count = 0;
    for (int k = 0; k < W; k++) count += CountBits(carry[k]);
    by_row[i] += count;
    for (int p = 0; p < 8; p++) {
      for (int k = 0; k < W; k++) {
        const uint64_t both = planes[p][k] & carry[k];
        planes[p][k] ^= carry[k];
        carry[k] = both;
      }
    }
  }
  for (int64_t j = 0; j < 8 * bytes; j++) {
    uint32_t count = 0;
    for (int p = 0; p < 8; p++) count |= static_cast<uint32_t>(planes[p][j / 64] >> (j % 64) & 1u) << p;
    by_column[j] += count;
  }
}

template <typename L, typename T>
struct InspectLoops {
  using Vec = typename L::Vec;
  static constexpr int64_t kWidth = L::kWidth;

  static void Count(const uint8_t* signs, int64_t rows, int64_t columns, uint32_t* by_row, uint32_t* by_column) {
    constexpr int64_t kStrip = 64;  // bytes: one cache line of every row
    const int64_t stride = columns / 8;
    int64_t at = 0;
    for (; at + kStrip <= stride; at += kStrip) {
      CountStrip<8>(signs + at, rows, stride, kStrip, by_row, by_column + 8 * at);
    }
    for (; at + 8 <= stride; at += 8) CountStrip<1>(signs + at, rows, stride, 8, by_row, by_column + 8 * at);
    if (at < stride) CountStrip<1>(signs + at, rows, stride, stride - at, by_row, by_column + 8 * at);
  }

  static void Compare(const void* block, const uint8_t* signs, int64_t rows, int64_t columns, const float* h,
                      const float* g, float scale, uint8_t* negatives, CompareSums* sums, float* absolute) {
    const int64_t row_bytes = columns / 8;
    const Vec factor = L::Splat(scale);
    for (int64_t i = 0; i < rows; i++) {
      const uint8_t* row = static_cast<const uint8_t*>(block) + i * columns * T::kSize;
      const uint8_t* bits = signs + i * row_bytes;
      const Vec minus_h = L::Splat(-h[i]);
      Vec error = L::Zero(), total = L::Zero(), product = L::Zero();
      double tail_error = 0, tail_total = 0, tail_product = 0;
      int64_t j = 0;
      for (; j + kWidth <= columns; j += kWidth) {
        const Vec w = L::template Load<T>(row + j * T::kSize);
        L::StoreNegative(negatives + j / 8, w);
        const Vec signed_g = L::Flip(L::LoadFloats(g + j), bits + j / 8);
        const Vec difference = L::Mul(L::Fma(minus_h, signed_g, w), factor);
        const Vec scaled = L::Mul(w, factor);
        error = L::Fma(difference, difference, error);
        total = L::Fma(scaled, scaled, total);
        product = L::Fma(scaled, signed_g, product);
        L::Store(absolute + j, L::Add(L::LoadFloats(absolute + j), L::Abs(w)));
      }
      for (int64_t byte = j / 8; byte < row_bytes; byte++) negatives[byte] = 0;
      for (; j < columns; j++) {
        const float w = T::Read(row + j * T::kSize);
        if (w < 0) negatives[j / 8] = static_cast<uint8_t>(negatives[j / 8] | 1u << (j % 8));
        const double signed_g = bits[j / 8] >> (j % 8) & 1 ? -static_cast<double>(g[j]) : static_cast<double>(g[j]);
        const double scaled = static_cast<double>(w) * scale;
        const double difference = scaled - h[i] * signed_g * scale;
        tail_error += difference * difference;
        tail_total += scaled * scaled;
        tail_product += scaled * signed_g;
        absolute[j] += std::fabs(w);
      }
      sums->error += L::Sum(error) + tail_error;
      sums->total += L::Sum(total) + tail_total;
      sums->product += (L::Sum(product) + tail_product) * h[i] * scale;
      sums->different += CountDifferent(negatives, bits, row_bytes);
    }
  }

  static double Pack(const void* weights, int64_t count, uint8_t* signs) {
    const uint8_t* at = static_cast<const uint8_t*>(weights);
    constexpr int64_t kRun = 4096;  // sums run in f32 over this many weights, then go into f64
    double squares = 0;
    int64_t j = 0;
    while (j + kWidth <= count) {
      const int64_t end = j + kRun < count ? j + kRun : count;
      Vec sum = L::Zero();
      for (; j + kWidth <= end; j += kWidth) {
        const Vec w = L::template Load<T>(at + j * T::kSize);
        L::StoreNegative(signs + j / 8, w);
        sum = L::Fma(w, w, sum);
      }
      squares += L::Sum(sum);
    }
    for (; j < count; j++) {
      const float w = T::Read(at + j * T::kSize);
      if (j % 8 == 0) signs[j / 8] = 0;
      if (w < 0) signs[j / 8] = static_cast<uint8_t>(signs[j / 8] | 1u << (j % 8));
      squares += static_cast<double>(w) * w;
    }
    return squares;
  }

  static int64_t NearZero(const void* weights, int64_t count, float limit) {
    const uint8_t* at = static_cast<const uint8_t*>(weights);
    const Vec minus_limit = L::Splat(-limit);
    int64_t near = 0;
    int64_t j = 0;
    for (; j + kWidth <= count; j += kWidth) {
      uint64_t below = 0;
      L::StoreNegative(reinterpret_cast<uint8_t*>(&below),
                       L::Add(L::Abs(L::template Load<T>(at + j * T::kSize)), minus_limit));
      near += CountBits(below);
    }
    for (; j < count; j++) near += std::fabs(T::Read(at + j * T::kSize)) < limit ? 1 : 0;
    return near;
  }

  static constexpr InspectKernels kKernels = {Count, Compare, Pack, NearZero};
};

template <typename L>
const InspectKernels& InspectKernelsOf(FloatType type) {
  switch (type) {
    case FloatType::kF32: return InspectLoops<L, F32>::kKernels;
    case FloatType::kF16: return InspectLoops<L, F16>::kKernels;
    case FloatType::kBF16: return InspectLoops<L, BF16>::kKernels;
  }
  return InspectLoops<L, F32>::kKernels;
}

}  // namespace
}  // namespace onebit
