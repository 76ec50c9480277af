#include "training/fused_binding.h"

#include "training/arguments.h"
#include "training/attention.h"
#include "training/embedding.h"
#include "training/losses.h"
#include "training/norm.h"
#include "training/optimizer.h"
#include "training/rope.h"
#include "training/rows.h"
#include "training/sign_linear.h"

namespace onebit::training {
namespace {

// Outputs come after inputs, sizes last; the TypeScript side (native-kernels.ts) names each argument.

Napi::Value SignLinearCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const LinearShape s{a.Int(7), a.Int(8), a.Int(9)};
  SignLinear(s, a.Floats(0, s.rows * s.in), a.Floats(1, s.out * s.in), a.Floats(2, s.in), a.Floats(3, s.out),
             a.Number(4), a.Floats(5, s.rows * s.out), a.Floats(6, s.rows));
  return a.Nothing();
}

Napi::Value SignLinearGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const LinearShape s{a.Int(12), a.Int(13), a.Int(14)};
  const StraightThrough through = a.Flag(7)    ? StraightThrough::kTanh
                                  : a.Flag(15) ? StraightThrough::kClipped
                                               : StraightThrough::kPlain;
  SignLinearGradient(s, a.Floats(0, s.rows * s.out), a.Floats(1, s.rows * s.out), a.Floats(2, s.rows),
                     a.Floats(3, s.rows * s.in), a.Floats(4, s.out * s.in), a.Floats(5, s.in), a.Floats(6, s.out),
                     through, a.Floats(8, s.rows * s.in), a.Floats(9, s.out * s.in), a.Floats(10, s.in),
                     a.Floats(11, s.out));
  return a.Nothing();
}

Napi::Value LinearCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const LinearShape s{a.Int(4), a.Int(5), a.Int(6)};
  Linear(s, a.Floats(0, s.rows * s.in), a.Floats(1, s.out * s.in), a.FloatsOrNull(2, s.out),
         a.Floats(3, s.rows * s.out));
  return a.Nothing();
}

Napi::Value LinearGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const LinearShape s{a.Int(6), a.Int(7), a.Int(8)};
  LinearGradient(s, a.Floats(0, s.rows * s.out), a.Floats(1, s.rows * s.in), a.Floats(2, s.out * s.in),
                 a.Floats(3, s.rows * s.in), a.FloatsOrNull(4, s.out * s.in), a.FloatsOrNull(5, s.out));
  return a.Nothing();
}

Napi::Value RmsNormCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(5), width = a.Int(6);
  RmsNorm(rows, width, a.Floats(0, rows * width), a.Floats(1, width), a.Number(2), a.Floats(3, rows * width),
          a.Floats(4, rows));
  return a.Nothing();
}

Napi::Value RmsNormGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(6), width = a.Int(7);
  RmsNormGradient(rows, width, a.Floats(0, rows * width), a.Floats(1, rows * width), a.Floats(2, width),
                  a.Floats(3, rows), a.Floats(4, rows * width), a.FloatsOrNull(5, width));
  return a.Nothing();
}

Napi::Value RopeCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(4), width = a.Int(5), window = a.Int(6), head_dim = a.Int(7);
  const Angles angles = RopeAngles(window, head_dim, a.Floats(1, head_dim / 2));
  Rope(rows, width, window, head_dim, angles, a.Flag(2), a.Floats(0, rows * width), a.Floats(3, rows * width));
  return a.Nothing();
}

AttentionShape ReadAttentionShape(const Arguments& a, int first) {
  const i64 head_dim = a.Int(first + 5);
  return {a.Int(first + 1), a.Int(first + 2), a.Int(first + 3), a.Int(first + 4), head_dim,
          a.Floats(first, head_dim / 2)};
}

Napi::Value CausalAttentionCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const AttentionShape s = ReadAttentionShape(a, 7);
  const i64 rows = s.batch * s.window, size = rows * s.heads * s.head_dim, kv_size = rows * s.kv_heads * s.head_dim;
  CausalAttention(s, a.Floats(0, size), a.Floats(1, kv_size), a.Floats(2, kv_size), a.Floats(3, size),
                  a.Floats(4, rows * s.heads), a.Floats(5, size), a.Floats(6, kv_size));
  return a.Nothing();
}

Napi::Value CausalAttentionGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const AttentionShape s = ReadAttentionShape(a, 9);
  const i64 rows = s.batch * s.window, size = rows * s.heads * s.head_dim, kv_size = rows * s.kv_heads * s.head_dim;
  CausalAttentionGradient(s, a.Floats(0, size), a.Floats(1, size), a.Floats(2, rows * s.heads), a.Floats(3, size),
                          a.Floats(4, kv_size), a.Floats(5, kv_size), a.Floats(6, size), a.Floats(7, kv_size),
                          a.Floats(8, kv_size));
  return a.Nothing();
}

Napi::Value SwigluCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 n = a.Int(3);
  const float *gate = a.Floats(0, n), *up = a.Floats(1, n);
  float* y = a.Floats(2, n);
  const Kernels& kernels = Selected();
  ForStretch(n, [&](i64 first, i64 last) { kernels.swiglu(gate + first, up + first, y + first, last - first); });
  return a.Nothing();
}

Napi::Value SwigluGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 n = a.Int(5);
  const float *dy = a.Floats(0, n), *gate = a.Floats(1, n), *up = a.Floats(2, n);
  float *dgate = a.Floats(3, n), *dup = a.Floats(4, n);
  const Kernels& kernels = Selected();
  ForStretch(n, [&](i64 first, i64 last) {
    kernels.swiglu_gradient(dy + first, gate + first, up + first, dgate + first, dup + first, last - first);
  });
  return a.Nothing();
}

Napi::Value EmbedCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(3), width = a.Int(4), vocab = a.Int(5);
  Embed(rows, width, a.Floats(0, vocab * width), a.Indices(1, rows, vocab), a.Floats(2, rows * width));
  return a.Nothing();
}

Napi::Value EmbedGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(3), width = a.Int(4), vocab = a.Int(5);
  EmbedGradient(rows, width, vocab, a.Floats(0, rows * width), a.Indices(1, rows, vocab), a.Floats(2, vocab * width));
  return a.Nothing();
}

Napi::Value CrossEntropyCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(4), width = a.Int(5);
  return a.Result(CrossEntropy(rows, width, a.Floats(0, rows * width), a.Indices(1, rows, width),
                               a.FloatsOrNull(2, rows), a.Floats(3, rows)));
}

Napi::Value CrossEntropyGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(6), width = a.Int(7);
  CrossEntropyGradient(rows, width, a.Number(0), a.Floats(1, rows * width), a.Indices(2, rows, width),
                       a.FloatsOrNull(3, rows), a.Floats(4, rows), a.Floats(5, rows * width));
  return a.Nothing();
}

Napi::Value SoftmaxKlCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(4), width = a.Int(5);
  return a.Result(SoftmaxKl(rows, width, a.Floats(0, rows * width), a.Floats(1, rows * width), a.Floats(2, rows),
                            a.Floats(3, rows)));
}

Napi::Value SoftmaxKlGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(6), width = a.Int(7);
  SoftmaxKlGradient(rows, width, a.Number(0), a.Floats(1, rows * width), a.Floats(2, rows * width),
                    a.Floats(3, rows), a.Floats(4, rows), a.Floats(5, rows * width));
  return a.Nothing();
}

Napi::Value UnitDistanceCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(2), width = a.Int(3);
  return a.Result(UnitDistance(rows, width, a.Floats(0, rows * width), a.Floats(1, rows * width)));
}

Napi::Value UnitDistanceGradientCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 rows = a.Int(5), width = a.Int(6);
  UnitDistanceGradient(rows, width, a.Number(0), a.Floats(1, rows * width), a.Floats(2, rows * width),
                       a.Floats(3, rows * width), a.Floats(4, rows * width));
  return a.Nothing();
}

Napi::Value AdamCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 n = a.Int(4);
  const AdamStep step{a.Number(5), a.Number(6),  a.Number(7),  a.Number(8), a.Number(9),
                      a.Flag(10),  a.Number(11), a.Number(12), a.Number(13)};
  Adam(n, a.Floats(0, n), a.Floats(1, n), a.Floats(2, n), a.Floats(3, n), step);
  return a.Nothing();
}

Napi::Value SquaredNormCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 n = a.Int(1);
  return a.Result(SquaredNorm(n, a.Floats(0, n)));
}

}  // namespace

void InitFused(Napi::Env env, Napi::Object functions) {
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    functions.Set(name, Napi::Function::New(env, function, name));
  };
  add("signLinear", SignLinearCall);
  add("signLinearGradient", SignLinearGradientCall);
  add("linear", LinearCall);
  add("linearGradient", LinearGradientCall);
  add("rmsNorm", RmsNormCall);
  add("rmsNormGradient", RmsNormGradientCall);
  add("rope", RopeCall);
  add("causalAttention", CausalAttentionCall);
  add("causalAttentionGradient", CausalAttentionGradientCall);
  add("swiglu", SwigluCall);
  add("swigluGradient", SwigluGradientCall);
  add("embed", EmbedCall);
  add("embedGradient", EmbedGradientCall);
  add("crossEntropy", CrossEntropyCall);
  add("crossEntropyGradient", CrossEntropyGradientCall);
  add("softmaxKl", SoftmaxKlCall);
  add("softmaxKlGradient", SoftmaxKlGradientCall);
  add("unitDistance", UnitDistanceCall);
  add("unitDistanceGradient", UnitDistanceGradientCall);
  add("adam", AdamCall);
  add("squaredNorm", SquaredNormCall);
}

}  // namespace onebit::training
