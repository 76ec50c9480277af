// The float kernels of every instruction set, written once over a Simd type (simd_*.h). Included by
// one kernels_*.cc each; all has internal linkage, so that no copy serves a CPU it was not made for.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "engine/half.h"
#include "engine/kernels.h"

#if defined(__GNUC__) && !defined(__clang__)
#define ONEBIT_UNROLL _Pragma("GCC unroll 16")
#elif defined(__clang__)
#define ONEBIT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ONEBIT_UNROLL
#endif

namespace onebit {
namespace {

template <class S>
struct FloatKernels {
  using F = typename S::F;
  static constexpr int kWidth = S::kWidth;

  // e^x to 2 ulp for x in [-87, 88], clamped beyond: range reduction by ln 2 and a polynomial (Cephes).
  static inline F Exp(F x) {
    x = S::Min(S::Max(x, S::Set(-87.0f)), S::Set(88.0f));
    const F n = S::Round(S::Mul(x, S::Set(1.44269504088896341f)));
    F r = S::Fma(n, S::Set(-0.693359375f), x);
    r = S::Fma(n, S::Set(2.12194440e-4f), r);
    F p = S::Set(1.9875691500e-4f);
    p = S::Fma(p, r, S::Set(1.3981999507e-3f));
    p = S::Fma(p, r, S::Set(8.3334519073e-3f));
    p = S::Fma(p, r, S::Set(4.1665795894e-2f));
    p = S::Fma(p, r, S::Set(1.6666665459e-1f));
    p = S::Fma(p, r, S::Set(5.0000001201e-1f));
    p = S::Fma(S::Mul(p, r), r, S::Add(r, S::Set(1.0f)));
    return S::Mul(p, S::PowerOfTwo(n));
  }

  // A tile of R rows and T tokens; the sums of all columns stay in registers.
  template <class W, int R, int T>
  static inline void Tile(const typename W::Stored* w, int64_t w_stride, int columns, const float* x,
                          int64_t x_stride, float* const* y, int row, bool accumulate) {
    F sum[R][T];
    ONEBIT_UNROLL for (int r = 0; r < R; r++) ONEBIT_UNROLL for (int t = 0; t < T; t++) sum[r][t] = S::Set(0.0f);
    int c = 0;
    for (; c + kWidth <= columns; c += kWidth) {
      F weight[R];
      ONEBIT_UNROLL for (int r = 0; r < R; r++) {
        weight[r] = S::LoadWeight(W(), w + r * w_stride + c);
      }
      ONEBIT_UNROLL for (int t = 0; t < T; t++) {
        const F input = S::Load(x + t * x_stride + c);
        ONEBIT_UNROLL for (int r = 0; r < R; r++) sum[r][t] = S::Fma(weight[r], input, sum[r][t]);
      }
    }
    ONEBIT_UNROLL for (int r = 0; r < R; r++) {
      ONEBIT_UNROLL for (int t = 0; t < T; t++) {
        float total = S::Sum(sum[r][t]);
        for (int i = c; i < columns; i++) total += W::Get(w[r * w_stride + i]) * x[t * x_stride + i];
        float* target = y[t] + row + r;
        *target = accumulate ? *target + total : total;
      }
    }
  }

  template <class W, int R>
  static void Rows(const typename W::Stored* w, int64_t w_stride, int columns, const float* x, int64_t x_stride,
                   int tokens, float* const* y, int row, bool accumulate) {
    int t = 0;
    for (; t + S::kTileTokens <= tokens; t += S::kTileTokens) {
      Tile<W, R, S::kTileTokens>(w, w_stride, columns, x + t * x_stride, x_stride, y + t, row, accumulate);
    }
    for (; t < tokens; t++) Tile<W, R, 1>(w, w_stride, columns, x + t * x_stride, x_stride, y + t, row, accumulate);
  }

  template <class W>
  static void FloatRows(const void* weights, int64_t w_stride, int rows, int columns, const float* x,
                        int64_t x_stride, int tokens, float* const* y, bool accumulate) {
    const auto* w = static_cast<const typename W::Stored*>(weights);
    int row = 0;
    // One token: a row is read from end to end, in the order that the hardware foresees.
    for (; tokens == 1 && row < rows; row++) {
      for (int c = 0; c < columns; c += kFloatColumns) {
        const int n = columns - c < kFloatColumns ? columns - c : kFloatColumns;
        Tile<W, 1, 1>(w + row * w_stride + c, w_stride, n, x + c, x_stride, y, row, accumulate || c > 0);
      }
    }
    for (; row + S::kTileRows <= rows; row += S::kTileRows) {
      Rows<W, S::kTileRows>(w + row * w_stride, w_stride, columns, x, x_stride, tokens, y, row, accumulate);
    }
    for (; row < rows; row++) {
      Rows<W, 1>(w + row * w_stride, w_stride, columns, x, x_stride, tokens, y, row, accumulate);
    }
  }

  // One group of rows and T tokens; each sum goes through the columns in order, whatever T is.
  template <int T>
  static inline void ByteGroup(const int8_t* w, const float* scales, int rows, int steps, const float* x,
                               int64_t x_stride, float* const* y, int row) {
    F sum[kByteRows][T];
    ONEBIT_UNROLL for (int r = 0; r < kByteRows; r++) ONEBIT_UNROLL for (int t = 0; t < T; t++) sum[r][t] = S::Set(0.0f);
    for (int s = 0; s < steps; s++, w += kByteRows * kByteColumns) {
      ONEBIT_UNROLL for (int c = 0; c < kByteColumns; c += kWidth) {
        F weight[kByteRows];
        ONEBIT_UNROLL for (int r = 0; r < kByteRows; r++) weight[r] = S::LoadWeight(I8Weight(), w + r * kByteColumns + c);
        ONEBIT_UNROLL for (int t = 0; t < T; t++) {
          const F input = S::Load(x + t * x_stride + s * kByteColumns + c);
          ONEBIT_UNROLL for (int r = 0; r < kByteRows; r++) sum[r][t] = S::Fma(weight[r], input, sum[r][t]);
        }
      }
    }
    ONEBIT_UNROLL for (int r = 0; r < kByteRows; r++) {
      if (r >= rows) break;
      ONEBIT_UNROLL for (int t = 0; t < T; t++) y[t][row + r] = scales[r] * S::Sum(sum[r][t]);
    }
  }

  static void ByteRows(const int8_t* w, const float* scales, int rows, int columns, const float* x, int64_t x_stride,
                       int tokens, float* const* y) {
    const int steps = (columns + kByteColumns - 1) / kByteColumns;
    for (int row = 0; row < rows; row += kByteRows, w += steps * kByteRows * kByteColumns) {
      int t = 0;
      for (; t + S::kTileTokens <= tokens; t += S::kTileTokens) {
        ByteGroup<S::kTileTokens>(w, scales + row, rows - row, steps, x + t * x_stride, x_stride, y + t, row);
      }
      for (; t < tokens; t++) ByteGroup<1>(w, scales + row, rows - row, steps, x + t * x_stride, x_stride, y + t, row);
    }
  }

  template <class W>
  static void Widen(const void* weights, int64_t n, float* y) {
    const auto* w = static_cast<const typename W::Stored*>(weights);
    for (int64_t i = 0; i < n; i++) y[i] = W::Get(w[i]);
  }

  static void RmsNorm(const float* x, const float* gain, int n, float eps, float* y) {
    F squares = S::Set(0.0f);
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      const F v = S::Load(x + i);
      squares = S::Fma(v, v, squares);
    }
    float total = S::Sum(squares);
    for (; i < n; i++) total += x[i] * x[i];
    const float scale = 1.0f / std::sqrt(total / static_cast<float>(n) + eps);
    const F scales = S::Set(scale);
    for (i = 0; i + kWidth <= n; i += kWidth) {
      S::Store(y + i, S::Mul(S::Mul(S::Load(x + i), scales), S::Load(gain + i)));
    }
    for (; i < n; i++) y[i] = x[i] * scale * gain[i];
  }

  static void FinishSigns(float* y, const float* h, const float* bias, int n, float eps) {
    F sums = S::Set(0.0f);
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      const F v = S::Mul(S::Load(y + i), S::Load(h + i));
      S::Store(y + i, v);
      sums = S::Add(sums, v);
    }
    float total = S::Sum(sums);
    for (; i < n; i++) total += y[i] *= h[i];
    const float mean = total / static_cast<float>(n);
    const F means = S::Set(mean);
    F squares = S::Set(0.0f);
    for (i = 0; i + kWidth <= n; i += kWidth) {
      const F d = S::Sub(S::Load(y + i), means);
      squares = S::Fma(d, d, squares);
    }
    float variance = S::Sum(squares);
    for (; i < n; i++) variance += (y[i] - mean) * (y[i] - mean);
    const float scale = 1.0f / std::sqrt(variance / static_cast<float>(n) + eps);
    const F scales = S::Set(scale);
    for (i = 0; i + kWidth <= n; i += kWidth) {
      const F v = S::Mul(S::Sub(S::Load(y + i), means), scales);
      S::Store(y + i, bias == nullptr ? v : S::Add(v, S::Load(bias + i)));
    }
    for (; i < n; i++) y[i] = (y[i] - mean) * scale + (bias == nullptr ? 0.0f : bias[i]);
  }

  static void Add(float* x, const float* y, int n) {
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) S::Store(x + i, S::Add(S::Load(x + i), S::Load(y + i)));
    for (; i < n; i++) x[i] += y[i];
  }

  static void Swiglu(float* gate, const float* up, int n) {
    const F one = S::Set(1.0f);
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      const F x = S::Load(gate + i);
      const F sigmoid = S::Div(x, S::Add(one, Exp(S::Sub(S::Set(0.0f), x))));
      S::Store(gate + i, S::Mul(sigmoid, S::Load(up + i)));
    }
    for (; i < n; i++) gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
  }

  static void Rope(float* x, const float* cos, const float* sin, int heads, int dim) {
    const int half = dim / 2;
    for (int head = 0; head < heads; head++, x += dim) {
      float* low = x;
      float* high = x + half;
      int i = 0;
      for (; i + kWidth <= half; i += kWidth) {
        const F a = S::Load(low + i), b = S::Load(high + i), c = S::Load(cos + i), s = S::Load(sin + i);
        S::Store(low + i, S::Sub(S::Mul(a, c), S::Mul(b, s)));
        S::Store(high + i, S::Fma(b, c, S::Mul(a, s)));
      }
      for (; i < half; i++) {
        const float a = low[i], b = high[i];
        low[i] = a * cos[i] - b * sin[i];
        high[i] = b * cos[i] + a * sin[i];
      }
    }
  }

  static void NarrowTo(const float* x, int n, float* target) {
    std::memcpy(target, x, sizeof(float) * static_cast<size_t>(n));
  }
  static void NarrowTo(const float* x, int n, uint16_t* target) {
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) S::StoreHalf(target + i, S::Load(x + i));
    for (; i < n; i++) target[i] = FloatToHalf(x[i]);
  }

  template <class W>
  static void StoreValue(const float* x, int dim, int position, void* values) {
    NarrowTo(x, dim, static_cast<typename W::Stored*>(values) + static_cast<int64_t>(position) * dim);
  }

  template <class W>
  static void StoreKey(const float* x, int dim, int position, void* keys) {
    auto* lane = static_cast<typename W::Stored*>(keys) +
                 static_cast<int64_t>(position / kKeyLanes) * kKeyLanes * dim + position % kKeyLanes;
    typename W::Stored part[kKeyLanes];
    for (int i = 0; i < dim; i += kKeyLanes) {
      const int n = dim - i < kKeyLanes ? dim - i : kKeyLanes;
      NarrowTo(x + i, n, part);
      for (int j = 0; j < n; j++) lane[(i + j) * kKeyLanes] = part[j];
    }
  }

  // H heads' scores = scale · q Kᵀ of P times kWidth positions from `first` on (a multiple of kWidth).
  template <class W, int H, int P>
  static inline void Scores(const float* q, const typename W::Stored* keys, int first, int dim, float scale,
                            float* scores, int64_t score_stride) {
    F sum[H][P];
    const typename W::Stored* key[P];
    ONEBIT_UNROLL for (int p = 0; p < P; p++) {
      const int position = first + p * kWidth;
      key[p] = keys + static_cast<int64_t>(position / kKeyLanes) * kKeyLanes * dim + position % kKeyLanes;
      ONEBIT_UNROLL for (int h = 0; h < H; h++) sum[h][p] = S::Set(0.0f);
    }
    for (int i = 0; i < dim; i++) {
      F query[H];
      ONEBIT_UNROLL for (int h = 0; h < H; h++) query[h] = S::Set(q[h * dim + i]);
      ONEBIT_UNROLL for (int p = 0; p < P; p++) {
        const F k = S::LoadWeight(W(), key[p] + static_cast<int64_t>(i) * kKeyLanes);
        ONEBIT_UNROLL for (int h = 0; h < H; h++) sum[h][p] = S::Fma(query[h], k, sum[h][p]);
      }
    }
    const F scales = S::Set(scale);
    ONEBIT_UNROLL for (int h = 0; h < H; h++) ONEBIT_UNROLL for (int p = 0; p < P; p++) {
      S::Store(scores + h * score_stride + first + p * kWidth, S::Mul(sum[h][p], scales));
    }
  }

  // scores = softmax(scores)
  static void Softmax(float* scores, int positions) {
    float largest = scores[0];
    int p = 0;
    for (; p + kWidth <= positions; p += kWidth) {
      const float m = S::Largest(S::Load(scores + p));
      largest = m > largest ? m : largest;
    }
    for (; p < positions; p++) largest = scores[p] > largest ? scores[p] : largest;
    const F shift = S::Set(-largest);
    F sums = S::Set(0.0f);
    for (p = 0; p + kWidth <= positions; p += kWidth) {
      const F weight = Exp(S::Add(S::Load(scores + p), shift));
      S::Store(scores + p, weight);
      sums = S::Add(sums, weight);
    }
    float total = S::Sum(sums);
    for (; p < positions; p++) total += scores[p] = std::exp(scores[p] - largest);
    const F inverse = S::Set(1.0f / total);
    for (p = 0; p + kWidth <= positions; p += kWidth) S::Store(scores + p, S::Mul(S::Load(scores + p), inverse));
    for (; p < positions; p++) scores[p] /= total;
  }

  // out[h][0 … V·width) = Σ_p weights[h][p] · values[p] of H heads
  template <class W, int H, int V>
  static inline void Blend(const float* weights, int64_t weight_stride, const typename W::Stored* values,
                           int positions, int dim, float* out) {
    F sum[H][V];
    ONEBIT_UNROLL for (int h = 0; h < H; h++) ONEBIT_UNROLL for (int v = 0; v < V; v++) sum[h][v] = S::Set(0.0f);
    for (int p = 0; p < positions; p++) {
      const typename W::Stored* row = values + static_cast<int64_t>(p) * dim;
      F value[V];
      ONEBIT_UNROLL for (int v = 0; v < V; v++) value[v] = S::LoadWeight(W(), row + v * kWidth);
      ONEBIT_UNROLL for (int h = 0; h < H; h++) {
        const F weight = S::Set(weights[h * weight_stride + p]);
        ONEBIT_UNROLL for (int v = 0; v < V; v++) sum[h][v] = S::Fma(weight, value[v], sum[h][v]);
      }
    }
    ONEBIT_UNROLL for (int h = 0; h < H; h++) ONEBIT_UNROLL for (int v = 0; v < V; v++) {
      S::Store(out + h * dim + v * kWidth, sum[h][v]);
    }
  }

  template <class W, int H>
  static inline void AttendHeads(const float* q, const typename W::Stored* keys, const typename W::Stored* values,
                                 int positions, int dim, float scale, float* scores, int64_t score_stride, float* out) {
    constexpr int kSide = H == 1 ? 4 : H == 4 ? 2 : 1;  // enough sums side by side to hide an addition's latency
    int p = 0;
    for (; p + kSide * kWidth <= positions; p += kSide * kWidth) {
      Scores<W, H, kSide>(q, keys, p, dim, scale, scores, score_stride);
    }
    // The last ones may be positions that are not there: whole blocks of keys are reserved.
    for (; p < positions; p += kWidth) Scores<W, H, 1>(q, keys, p, dim, scale, scores, score_stride);
    for (int h = 0; h < H; h++) Softmax(scores + h * score_stride, positions);
    int i = 0;
    for (; i + 2 * kSide * kWidth <= dim; i += 2 * kSide * kWidth) {
      Blend<W, H, 2 * kSide>(scores, score_stride, values + i, positions, dim, out + i);
    }
    for (; i + kWidth <= dim; i += kWidth) Blend<W, H, 1>(scores, score_stride, values + i, positions, dim, out + i);
    for (; i < dim; i++) {
      for (int h = 0; h < H; h++) {
        float sum = 0.0f;
        for (p = 0; p < positions; p++) sum += scores[h * score_stride + p] * W::Get(values[static_cast<int64_t>(p) * dim + i]);
        out[h * dim + i] = sum;
      }
    }
  }

  template <class W>
  static void Attend(const float* q, int heads, const void* key_rows, const void* value_rows, int positions, int dim,
                     float scale, float* scores, int64_t score_stride, float* out) {
    const auto* keys = static_cast<const typename W::Stored*>(key_rows);
    const auto* values = static_cast<const typename W::Stored*>(value_rows);
    int h = 0;
    for (; kWidth == 16 && h + 8 <= heads; h += 8) {
      AttendHeads<W, 8>(q + h * dim, keys, values, positions, dim, scale, scores, score_stride, out + h * dim);
    }
    for (; h + 4 <= heads; h += 4) {
      AttendHeads<W, 4>(q + h * dim, keys, values, positions, dim, scale, scores, score_stride, out + h * dim);
    }
    for (; h < heads; h++) {
      AttendHeads<W, 1>(q + h * dim, keys, values, positions, dim, scale, scores, score_stride, out + h * dim);
    }
  }

  static void Top(const float* logits, int n, int count, int32_t* ids, float* values, float* log_sum_exp) {
    int found = 0;
    // Ids come in ascending order: an equal one stands behind those that are there.
    const auto insert = [&](int id) {
      const float value = logits[id];
      if (found == count && !(value > values[count - 1])) return;
      int at = found < count ? found++ : count - 1;
      for (; at > 0 && value > values[at - 1]; at--) {
        values[at] = values[at - 1];
        ids[at] = ids[at - 1];
      }
      values[at] = value;
      ids[at] = id;
    };
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      if (found == count && !(S::Largest(S::Load(logits + i)) > values[count - 1])) continue;
      for (int j = i; j < i + kWidth; j++) insert(j);
    }
    for (; i < n; i++) insert(i);
    const float largest = values[0];
    const F shift = S::Set(-largest);
    F sums = S::Set(0.0f);
    for (i = 0; i + kWidth <= n; i += kWidth) sums = S::Add(sums, Exp(S::Add(S::Load(logits + i), shift)));
    float total = S::Sum(sums);
    for (; i < n; i++) total += std::exp(logits[i] - largest);
    *log_sum_exp = largest + std::log(total);
  }

  static void Fill(Kernels& table) {
    table.float_rows[0] = FloatRows<F32Weight>;
    table.float_rows[1] = FloatRows<F16Weight>;
    table.float_rows[2] = FloatRows<Bf16Weight>;
    table.byte_rows = ByteRows;
    table.top = Top;
    table.widen[0] = Widen<F32Weight>;
    table.widen[1] = Widen<F16Weight>;
    table.widen[2] = Widen<Bf16Weight>;
    table.rms_norm = RmsNorm;
    table.finish_signs = FinishSigns;
    table.add = Add;
    table.swiglu = Swiglu;
    table.rope = Rope;
    table.store_key[0] = StoreKey<F32Weight>;
    table.store_key[1] = StoreKey<F16Weight>;
    table.store_value[0] = StoreValue<F32Weight>;
    table.store_value[1] = StoreValue<F16Weight>;
    table.attend[0] = Attend<F32Weight>;
    table.attend[1] = Attend<F16Weight>;
  }
};

}  // namespace
}  // namespace onebit
