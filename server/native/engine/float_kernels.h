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
    for (; tokens > 1 && row + S::kTileRows <= rows; row += S::kTileRows) {
      Rows<W, S::kTileRows>(w + row * w_stride, w_stride, columns, x, x_stride, tokens, y, row, accumulate);
    }
    for (; row < rows; row++) {
      Rows<W, 1>(w + row * w_stride, w_stride, columns, x, x_stride, tokens, y, row, accumulate);
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

  static void StoreF32(const float* x, int n, void* cache) {
    std::memcpy(cache, x, sizeof(float) * static_cast<size_t>(n));
  }

  static void StoreF16(const float* x, int n, void* cache) {
    auto* target = static_cast<uint16_t*>(cache);
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) S::StoreHalf(target + i, S::Load(x + i));
    for (; i < n; i++) target[i] = FloatToHalf(x[i]);
  }

  // scores = scale · q Kᵀ, P positions at a time so that their sums run side by side.
  template <class W, int P>
  static inline void Scores(const float* q, const typename W::Stored* keys, int dim, float scale, float* scores) {
    F sum[P];
    ONEBIT_UNROLL for (int p = 0; p < P; p++) sum[p] = S::Set(0.0f);
    int i = 0;
    for (; i + kWidth <= dim; i += kWidth) {
      const F query = S::Load(q + i);
      ONEBIT_UNROLL for (int p = 0; p < P; p++) {
        sum[p] = S::Fma(query, S::LoadWeight(W(), keys + static_cast<int64_t>(p) * dim + i), sum[p]);
      }
    }
    ONEBIT_UNROLL for (int p = 0; p < P; p++) {
      float total = S::Sum(sum[p]);
      for (int j = i; j < dim; j++) total += q[j] * W::Get(keys[static_cast<int64_t>(p) * dim + j]);
      scores[p] = total * scale;
    }
  }

  // out[0 … V·width) = Σ_p weights[p] · values[p]
  template <class W, int V>
  static inline void Blend(const float* weights, const typename W::Stored* values, int positions, int dim, float* out) {
    F sum[V];
    ONEBIT_UNROLL for (int v = 0; v < V; v++) sum[v] = S::Set(0.0f);
    for (int p = 0; p < positions; p++) {
      const F weight = S::Set(weights[p]);
      const typename W::Stored* row = values + static_cast<int64_t>(p) * dim;
      ONEBIT_UNROLL for (int v = 0; v < V; v++) {
        sum[v] = S::Fma(weight, S::LoadWeight(W(), row + v * kWidth), sum[v]);
      }
    }
    ONEBIT_UNROLL for (int v = 0; v < V; v++) S::Store(out + v * kWidth, sum[v]);
  }

  template <class W>
  static void Attend(const float* q, const void* key_rows, const void* value_rows, int positions, int dim,
                     float scale, float* scores, float* out) {
    const auto* keys = static_cast<const typename W::Stored*>(key_rows);
    const auto* values = static_cast<const typename W::Stored*>(value_rows);
    int p = 0;
    for (; p + 4 <= positions; p += 4) Scores<W, 4>(q, keys + static_cast<int64_t>(p) * dim, dim, scale, scores + p);
    for (; p < positions; p++) Scores<W, 1>(q, keys + static_cast<int64_t>(p) * dim, dim, scale, scores + p);

    float largest = scores[0];
    for (p = 0; p + kWidth <= positions; p += kWidth) {
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
    const float inverse = 1.0f / total;
    for (p = 0; p < positions; p++) scores[p] *= inverse;

    int i = 0;
    for (; i + 4 * kWidth <= dim; i += 4 * kWidth) Blend<W, 4>(scores, values + i, positions, dim, out + i);
    for (; i + kWidth <= dim; i += kWidth) Blend<W, 1>(scores, values + i, positions, dim, out + i);
    for (; i < dim; i++) {
      float sum = 0.0f;
      for (p = 0; p < positions; p++) sum += scores[p] * W::Get(values[static_cast<int64_t>(p) * dim + i]);
      out[i] = sum;
    }
  }

  static void Fill(Kernels& table) {
    table.float_rows[0] = FloatRows<F32Weight>;
    table.float_rows[1] = FloatRows<F16Weight>;
    table.float_rows[2] = FloatRows<Bf16Weight>;
    table.widen[0] = Widen<F32Weight>;
    table.widen[1] = Widen<F16Weight>;
    table.widen[2] = Widen<Bf16Weight>;
    table.rms_norm = RmsNorm;
    table.finish_signs = FinishSigns;
    table.add = Add;
    table.swiglu = Swiglu;
    table.rope = Rope;
    table.store_cache[0] = StoreF32;
    table.store_cache[1] = StoreF16;
    table.attend[0] = Attend<F32Weight>;
    table.attend[1] = Attend<F16Weight>;
  }
};

}  // namespace
}  // namespace onebit
