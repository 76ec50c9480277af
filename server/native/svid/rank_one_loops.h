// The loops of rank_one_kernels.h, written once over a `Lanes` class that wraps an instruction set (lanes_*.h):
//   kWidth (a multiple of 8), Vec, Mask; Zero, Splat, LoadFloats, Store, Load<T>, Abs, Sub, Mul, Fma,
//   MaxBits (running maximum of the bits of non-negative values), Bits (its result), Sum (in double),
//   StoreNegative (kWidth sign bits), StoreHalf, Flip.
#pragma once

#include <cmath>

#include "svid/float_scalar.h"
#include "svid/rank_one_kernels.h"

namespace onebit {
namespace {

template <typename L, typename T>
struct RankOneLoops {
  using Vec = typename L::Vec;
  static constexpr int64_t kWidth = L::kWidth;

  static uint32_t Scan(const void* block, int64_t rows, int64_t columns, float* sums) {
    auto largest = L::NoBits();
    uint32_t tail_largest = 0;
    for (int64_t i = 0; i < rows; i++) {
      const uint8_t* row = static_cast<const uint8_t*>(block) + i * columns * T::kSize;
      int64_t j = 0;
      for (; j + kWidth <= columns; j += kWidth) {
        const Vec w = L::Abs(L::template Load<T>(row + j * T::kSize));
        largest = L::MaxBits(largest, w);
        L::Store(sums + j, L::Add(L::LoadFloats(sums + j), w));
      }
      for (; j < columns; j++) {
        const float w = std::fabs(T::Read(row + j * T::kSize));
        tail_largest = Larger(tail_largest, FloatBits(w));
        sums[j] += w;
      }
    }
    return Larger(tail_largest, L::Bits(largest));
  }

  // R rows together: v and sums are then loaded once for all of them.
  template <int R>
  static void StepRows(const uint8_t* row, int64_t stride, int64_t columns, const float* v, double scale,
                       float* u, float* sums) {
    Vec even[R], odd[R];
    double tail[R];
    for (int r = 0; r < R; r++) {
      even[r] = odd[r] = L::Zero();
      tail[r] = 0;
    }
    int64_t j = 0;
    for (; j + 2 * kWidth <= columns; j += 2 * kWidth) {
      const Vec v0 = L::LoadFloats(v + j);
      const Vec v1 = L::LoadFloats(v + j + kWidth);
      for (int r = 0; r < R; r++) {
        const uint8_t* at = row + r * stride + j * T::kSize;
        even[r] = L::Fma(L::Abs(L::template Load<T>(at)), v0, even[r]);
        odd[r] = L::Fma(L::Abs(L::template Load<T>(at + kWidth * T::kSize)), v1, odd[r]);
      }
    }
    for (; j < columns; j++) {
      for (int r = 0; r < R; r++) {
        tail[r] += static_cast<double>(std::fabs(T::Read(row + r * stride + j * T::kSize))) * v[j];
      }
    }
    Vec factor[R];
    for (int r = 0; r < R; r++) {
      u[r] = static_cast<float>((L::Sum(even[r]) + L::Sum(odd[r]) + tail[r]) * scale);
      factor[r] = L::Splat(u[r]);
    }
    j = 0;
    for (; j + kWidth <= columns; j += kWidth) {
      Vec sum = L::LoadFloats(sums + j);
      for (int r = 0; r < R; r++) {
        sum = L::Fma(L::Abs(L::template Load<T>(row + r * stride + j * T::kSize)), factor[r], sum);
      }
      L::Store(sums + j, sum);
    }
    for (; j < columns; j++) {
      for (int r = 0; r < R; r++) sums[j] += u[r] * std::fabs(T::Read(row + r * stride + j * T::kSize));
    }
  }

  static void Step(const void* block, int64_t rows, int64_t columns, const float* v, double scale, float* u,
                   float* sums) {
    const int64_t stride = columns * T::kSize;
    const uint8_t* row = static_cast<const uint8_t*>(block);
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) StepRows<4>(row + i * stride, stride, columns, v, scale, u + i, sums);
    for (; i < rows; i++) StepRows<1>(row + i * stride, stride, columns, v, scale, u + i, sums);
  }

  static void Finish(const void* block, int64_t rows, int64_t columns, const float* h, const float* g,
                     float scale, uint8_t* signs, double* squared_error, double* squared_norm) {
    const int64_t row_bytes = (columns + 7) / 8;
    const Vec factor = L::Splat(scale);
    for (int64_t i = 0; i < rows; i++) {
      const uint8_t* row = static_cast<const uint8_t*>(block) + i * columns * T::kSize;
      uint8_t* bits = signs + i * row_bytes;
      const Vec minus_h = L::Splat(-h[i]);
      Vec error = L::Zero(), norm = L::Zero();
      double tail_error = 0, tail_norm = 0;
      int64_t j = 0;
      for (; j + kWidth <= columns; j += kWidth) {
        const Vec w = L::template Load<T>(row + j * T::kSize);
        L::StoreNegative(bits + j / 8, w);
        const Vec magnitude = L::Abs(w);
        const Vec difference = L::Mul(L::Fma(minus_h, L::LoadFloats(g + j), magnitude), factor);
        const Vec scaled = L::Mul(magnitude, factor);
        error = L::Fma(difference, difference, error);
        norm = L::Fma(scaled, scaled, norm);
      }
      for (int64_t byte = j / 8; byte < row_bytes; byte++) bits[byte] = 0;
      for (; j < columns; j++) {
        const float w = T::Read(row + j * T::kSize);
        if (w < 0) bits[j / 8] = static_cast<uint8_t>(bits[j / 8] | 1u << (j % 8));
        const double magnitude = std::fabs(static_cast<double>(w));
        const double difference = (magnitude - static_cast<double>(h[i]) * g[j]) * scale;
        tail_error += difference * difference;
        tail_norm += magnitude * scale * (magnitude * scale);
      }
      *squared_error += L::Sum(error) + tail_error;
      *squared_norm += L::Sum(norm) + tail_norm;
    }
  }

  static int64_t Halve(const void* values, int64_t count, uint16_t* halves) {
    const uint8_t* at = static_cast<const uint8_t*>(values);
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) {
      const Vec x = L::template Load<T>(at + i * T::kSize);
      L::StoreHalf(halves + i, x);
      // 65520 and above rounds to infinity; NaN and infinity have larger bits still.
      if (L::Bits(L::MaxBits(L::NoBits(), L::Abs(x))) >= 0x477ff000u) break;
    }
    for (; i < count; i++) {
      const float x = T::Read(at + i * T::kSize);
      if ((FloatBits(x) & 0x7fffffffu) >= 0x477ff000u) return i;
      halves[i] = FloatToHalf(x);
    }
    return -1;
  }

  static constexpr RankOneKernels kKernels = {Scan, Step, Finish, Halve};
};

template <typename L>
const RankOneKernels& KernelsOf(FloatType type) {
  switch (type) {
    case FloatType::kF32: return RankOneLoops<L, F32>::kKernels;
    case FloatType::kF16: return RankOneLoops<L, F16>::kKernels;
    case FloatType::kBF16: return RankOneLoops<L, BF16>::kKernels;
  }
  return RankOneLoops<L, F32>::kKernels;
}

}  // namespace
}  // namespace onebit
