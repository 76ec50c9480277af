// Panels of the matrix product: a few rows or columns side by side, [k, width], as the tile reads them.
// Needs simd.inl, and kTileRows and kTileVectors of gemm_tile.inl.
#include <utility>

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define ONEBIT_SHUFFLE
#endif
#endif

namespace {

// The lanes of a and b in turns, from the first half of both (`high` false) or from the second.
template <bool high, int... kIndex>
inline Vec Interleave(Vec a, Vec b, std::integer_sequence<int, kIndex...>) {
#if defined(ONEBIT_SHUFFLE)
  return __builtin_shufflevector(a, b, ((high ? kLanes / 2 : 0) + kIndex / 2 + (kIndex % 2) * kLanes)...);
#else
  return Vec{(kIndex % 2 == 0 ? a : b)[(high ? kLanes / 2 : 0) + kIndex / 2]...};
#endif
}

// A square of kLanes rows becomes its transpose: interleaving row i with row i + kLanes / 2 moves one bit of the
// row's number into the column's, so as many rounds as the number has bits exchange the two.
inline void Transpose(Vec (&rows)[kLanes]) {
  using All = std::make_integer_sequence<int, kLanes>;
#pragma GCC unroll 4
  for (int round = 1; round < kLanes; round *= 2) {
    Vec next[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes / 2; i++) {
      next[2 * i] = Interleave<false>(rows[i], rows[i + kLanes / 2], All{});
      next[2 * i + 1] = Interleave<true>(rows[i], rows[i + kLanes / 2], All{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) rows[i] = next[i];
  }
}

// to[p, r] = from[r, p]: the panel's rows lie along k.
template <int kWidth>
void PackAcross(const float* from, i64 stride, i64 k, i64 count, float* to) {
  i64 p = 0;
  if (count == kWidth) {
    for (; p + kLanes <= k; p += kLanes) {
      // The last square may hold fewer rows than lanes. What it writes too much belongs to the panel's next row, which
      // comes later: squares go from the last to the first. The panel's very last row has no next.
#pragma GCC unroll 4
      for (int r0 = (kWidth - 1) / kLanes * kLanes; r0 >= 0; r0 -= kLanes) {
        Vec rows[kLanes];
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; r++) rows[r] = r0 + r < kWidth ? Load(from + (r0 + r) * stride + p) : Vec{};
        Transpose(rows);
#pragma GCC unroll 16
        for (int q = 0; q < kLanes - 1; q++) Store(to + (p + q) * kWidth + r0, rows[q]);
        Store(to + (p + kLanes - 1) * kWidth + r0, rows[kLanes - 1], p + kLanes == k ? kWidth - r0 : kLanes);
      }
    }
  }
  for (; p < k; p++)
    for (i64 r = 0; r < kWidth; r++) to[p * kWidth + r] = r < count ? from[r * stride + p] : 0;
}

// to[p, j] = from[p, j]: the panel's rows lie side by side.
template <int kWidth>
void PackAlong(const float* from, i64 stride, i64 k, i64 count, float* to) {
  if (count == kWidth) {
    for (i64 p = 0; p < k; p++) std::memcpy(to + p * kWidth, from + p * stride, kWidth * sizeof(float));
    return;
  }
  for (i64 p = 0; p < k; p++)
    for (i64 j = 0; j < kWidth; j++) to[p * kWidth + j] = j < count ? from[p * stride + j] : 0;
}

void PackPanel(const float* from, i64 stride, bool across, i64 k, i64 count, int width, float* to) {
  constexpr int kCols = kTileVectors * kLanes;
  if (width == kTileRows) {
    if (across) PackAcross<kTileRows>(from, stride, k, count, to);
    else PackAlong<kTileRows>(from, stride, k, count, to);
  } else {
    if (across) PackAcross<kCols>(from, stride, k, count, to);
    else PackAlong<kCols>(from, stride, k, count, to);
  }
}

}  // namespace
