// The functions that are compiled once for each instruction set. Everything else in this folder is plain C++
// that calls them through this table.
#pragma once
#include <cstdint>

namespace onebit::training {

typedef std::int64_t i64;

enum class Binary { kAdd, kSubtract, kMultiply, kDivide };
enum class Unary { kExp, kSqrt, kRsqrt, kSquare, kNegate, kSigmoid, kScale, kOffset };

// How the gradient passes Sign: unchanged, times 1.001 - tanh(latent)^2, or unchanged where |latent| <= 1 and 0
// elsewhere.
enum class StraightThrough { kPlain, kTanh, kClipped };

struct AdamStep {
  float learning_rate, beta1, beta2, epsilon;
  float weight_decay;  // of both kinds; `decoupled` says which
  bool decoupled;
  float correction1, correction2;  // 1 / (1 - beta^step)
  float gradient_scale;
};

struct Kernels {
  // The register tile of the matrix product: C[rows, cols] (+)= A B over k. A's element (i, p) is at
  // a[i * a_row + p * a_step], and either a_row or a_step is 1; B's row p begins at b + p * b_step.
  // rows <= tile_rows and cols <= tile_cols are what is written; A must be readable for tile_rows rows
  // and B for whole vectors.
  int tile_rows;
  int tile_cols;
  void (*tile)(i64 k, const float* a, i64 a_row, i64 a_step, const float* b, i64 b_step, float* c, i64 ldc, int rows,
               int cols, bool accumulate);
  // A panel of an operand for `tile`: to[p * width + r] for p < k, with zeros from r = count on. Element (p, r) is at
  // from[p * stride + r], or at from[r * stride + p] with `across`. width is tile_rows or tile_cols.
  void (*pack_panel)(const float* from, i64 stride, bool across, i64 k, i64 count, int width, float* to);
  // Multiplies and adds `n` times in registers alone, with as many sums side by side as a tile has: what the
  // machine can do at most. `flops` is how many operations that were; the result only keeps them from vanishing.
  float (*fma_chain)(i64 n, i64* flops);

  // y = (y - mean) / sqrt(variance + eps), in place; returns the factor 1 / sqrt(...).
  float (*layer_norm)(float* y, i64 n, float eps);
  // dz of LayerNorm from dy and its output y.
  void (*layer_norm_gradient)(const float* dy, const float* y, float inverse, float* dz, i64 n);
  float (*rms_norm)(const float* x, const float* gain, float* y, i64 n, float eps);
  // dx, and dgain += where it is wanted (not null).
  void (*rms_norm_gradient)(const float* dy, const float* x, const float* gain, float inverse, float* dx, float* dgain,
                            i64 n);

  // One head turned by its position's angles; direction -1 turns back. y may be x.
  void (*rope_head)(const float* x, const float* cos, const float* sin, float direction, float* y, i64 half);

  // w = scale * Sign(latent) * g.
  void (*sign_row)(const float* latent, const float* g, float scale, float* w, i64 n);
  // One row of the signs' gradient r (by the effective weight): dlatent = r * h * g as `through` lets it pass,
  // dg += Sign * h * r, and returns dh = sum of Sign * g * r. dlatent may be r.
  float (*sign_row_gradient)(const float* r, const float* latent, const float* g, float h, StraightThrough through,
                             float* dlatent, float* dg, i64 n);

  void (*swiglu)(const float* gate, const float* up, float* y, i64 n);
  void (*swiglu_gradient)(const float* dy, const float* gate, const float* up, float* dgate, float* dup, i64 n);

  // log of the sum of exp(x).
  float (*log_sum_exp)(const float* x, i64 n);
  // y = exp(x * scale - shift); returns the sum.
  float (*exp_row)(const float* x, float scale, float shift, float* y, i64 n);
  float (*highest)(const float* x, i64 n);
  // KL(teacher || student) of one row, given both logarithms of the sums.
  float (*kl_row)(const float* teacher, float teacher_log, const float* student, float student_log, i64 n);
  void (*kl_row_gradient)(const float* teacher, float teacher_log, const float* student, float student_log,
                          float factor, float* d, i64 n);
  // One row of attention's backward: p = exp(s * scale - log_sum), ds = p * (dp - delta) * scale. s becomes p,
  // dp becomes ds.
  void (*attention_row_gradient)(float* s, float* dp, float scale, float log_sum, float delta, i64 n);

  float (*dot)(const float* a, const float* b, i64 n);
  float (*sum)(const float* x, i64 n);
  // The sum of (a * x - b * y)^2.
  float (*difference)(const float* x, float a, const float* y, float b, i64 n);
  // z = a * x + b * y.
  void (*blend)(float a, const float* x, float b, const float* y, float* z, i64 n);
  // y = a * x + b * y.
  void (*combine)(float a, const float* x, float b, float* y, i64 n);
  void (*adam)(float* p, const float* g, float* m, float* v, i64 n, const AdamStep& step);

  void (*binary)(Binary op, const float* a, const float* b, float* y, i64 n);
  // With a number: `first` says whether the number is the left operand.
  void (*binary_number)(Binary op, const float* a, float number, bool first, float* y, i64 n);
  void (*unary)(Unary op, const float* x, float number, float* y, i64 n);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

// The table for this CPU.
const Kernels& Selected();

}  // namespace onebit::training
