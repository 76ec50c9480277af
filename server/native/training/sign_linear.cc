#include "training/sign_linear.h"

#include "training/gemm.h"
#include "training/partial_sums.h"
#include "training/scratch.h"

namespace onebit::training {
namespace {

// The matrix that x really meets: W[j, i] = h[j] Sign(latent[j, i]) g[i]. Sign, g and h then cost nothing in
// the products, and their gradients follow from that of W, which is small.
float* EffectiveWeights(LinearShape shape, const float* latent, const float* g, const float* h) {
  const Kernels& kernels = Selected();
  float* weights = Scratch(Slot::kWeights, static_cast<std::size_t>(shape.out) * shape.in);
  ForRows(shape.out, shape.in, [&](i64 first, i64 last, i64) {
    for (i64 j = first; j < last; j++)
      kernels.sign_row(latent + j * shape.in, g, h[j], weights + j * shape.in, shape.in);
  });
  return weights;
}

}  // namespace

void SignLinear(LinearShape shape, const float* x, const float* latent, const float* g, const float* h, float eps,
                float* y, float* inverse) {
  const float* weights = EffectiveWeights(shape, latent, g, h);
  const Kernels& kernels = Selected();
  auto normalise = [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++) inverse[r] = kernels.layer_norm(y + r * shape.out, shape.out, eps);
  };
  const RowEpilogue epilogue = {
      [](void* context, i64 first, i64 last) { (*static_cast<decltype(normalise)*>(context))(first, last); },
      &normalise};
  Gemm(shape.rows, shape.out, shape.in, {x, shape.in}, {weights, shape.in, true}, y, shape.out, false, epilogue);
}

void SignLinearGradient(LinearShape shape, const float* dy, const float* y, const float* inverse, const float* x,
                        const float* latent, const float* g, const float* h, StraightThrough through, float* dx,
                        float* dlatent, float* dg, float* dh) {
  const auto [rows, in, out] = shape;
  const Kernels& kernels = Selected();
  float* dz = Scratch(Slot::kGradient, static_cast<std::size_t>(rows) * out);
  ForRows(rows, out, [&, out = out](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++)
      kernels.layer_norm_gradient(dy + r * out, y + r * out, inverse[r], dz + r * out, out);
  });
  const float* weights = EffectiveWeights(shape, latent, g, h);
  Gemm(rows, in, out, {dz, out}, {weights, in}, dx, in);
  // The gradient by the effective weight, in the place of dlatent.
  Gemm(out, in, rows, {dz, out, true}, {x, in}, dlatent, in);
  const PartialSums sums(out, in, in);
  ForRows(out, in, [&, in = in](i64 first, i64 last, i64 piece) {
    for (i64 j = first; j < last; j++)
      dh[j] = kernels.sign_row_gradient(dlatent + j * in, latent + j * in, g, h[j], through, dlatent + j * in,
                                        sums.Part(piece), in);
  });
  sums.Total(dg);
}

void Linear(LinearShape shape, const float* x, const float* weight, const float* bias, float* y) {
  const Kernels& kernels = Selected();
  auto add_bias = [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++) kernels.combine(1, bias, 1, y + r * shape.out, shape.out);
  };
  RowEpilogue epilogue = {nullptr, nullptr};
  if (bias != nullptr)
    epilogue = {[](void* context, i64 first, i64 last) { (*static_cast<decltype(add_bias)*>(context))(first, last); },
                &add_bias};
  Gemm(shape.rows, shape.out, shape.in, {x, shape.in}, {weight, shape.in, true}, y, shape.out, false, epilogue);
}

void LinearGradient(LinearShape shape, const float* dy, const float* x, const float* weight, float* dx,
                    float* dweight, float* dbias) {
  const auto [rows, in, out] = shape;
  Gemm(rows, in, out, {dy, out}, {weight, in}, dx, in);
  if (dweight != nullptr) Gemm(out, in, rows, {dy, out, true}, {x, in}, dweight, in);
  if (dbias == nullptr) return;
  const Kernels& kernels = Selected();
  const PartialSums sums(rows, out, out);
  ForRows(rows, out, [&, out = out](i64 first, i64 last, i64 piece) {
    for (i64 r = first; r < last; r++) kernels.combine(1, dy + r * out, 1, sums.Part(piece), out);
  });
  sums.Total(dbias);
}

}  // namespace onebit::training
