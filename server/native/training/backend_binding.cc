#include "training/backend_binding.h"

#include <cstring>

#include "training/aligned_memory.h"
#include "training/arguments.h"
#include "training/gemm.h"
#include "training/rows.h"

namespace onebit::training {
namespace {

// floats(n): a Float32Array with undefined contents in memory that suits the kernels; an ordinary one where the
// runtime takes no memory from outside (Electron).
Napi::Value FloatsCall(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::size_t n = static_cast<std::size_t>(info[0].As<Napi::Number>().Int64Value());
  float* data = AllocateFloats(n);
  if (data == nullptr) throw Napi::RangeError::New(env, "no memory for " + std::to_string(n) + " floats");
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, data, n * sizeof(float), [](napi_env, void* memory, void*) { FreeFloats(static_cast<float*>(memory)); },
      nullptr, &buffer);
  if (status == napi_ok) return Napi::Float32Array::New(env, n, Napi::ArrayBuffer(env, buffer), 0);
  FreeFloats(data);
  return Napi::Float32Array::New(env, n);
}

// gemm(a, b, c, batch, m, n, k, transposeA, transposeB, strideA, strideB): strides between the matrices of a
// batch, 0 to use one for all.
Napi::Value GemmCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 batch = a.Int(3), m = a.Int(4), n = a.Int(5), k = a.Int(6);
  const bool ta = a.Flag(7), tb = a.Flag(8);
  const i64 stride_a = a.Int(9), stride_b = a.Int(10);
  const float* left = a.Floats(0, (batch - 1) * stride_a + m * k);
  const float* right = a.Floats(1, (batch - 1) * stride_b + n * k);
  float* c = a.Floats(2, batch * m * n);
  for (i64 i = 0; i < batch; i++)
    Gemm(m, n, k, {left + i * stride_a, ta ? m : k, ta}, {right + i * stride_b, tb ? k : n, tb}, c + i * m * n, n);
  return a.Nothing();
}

// fmaChain(n): multiply-adds in registers on the calling thread alone; returns how many floating point operations.
Napi::Value FmaChainCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  i64 flops = 0;
  volatile float result = Selected().fma_chain(a.Int(0), &flops);
  (void)result;
  return Napi::Number::New(info.Env(), static_cast<double>(flops));
}

// binary(op, a, b, y, outer, repeat): a is [outer, repeat]; b is the same (mode 0), one row for all (1), or one
// number for each row (2).
Napi::Value BinaryCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const Binary op = static_cast<Binary>(a.Int(0));
  const i64 outer = a.Int(4), width = a.Int(5), mode = a.Int(6);
  const float* left = a.Floats(1, outer * width);
  const float* right = a.Floats(2, mode == 0 ? outer * width : mode == 1 ? width : outer);
  float* y = a.Floats(3, outer * width);
  const bool swapped = a.Flag(7);
  const Kernels& kernels = Selected();
  if (mode == 0) {
    ForStretch(outer * width, [&](i64 first, i64 last) {
      kernels.binary(op, left + first, right + first, y + first, last - first);
    });
    return a.Nothing();
  }
  ForRows(outer, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++) {
      const float* row = left + r * width;
      if (mode == 2) kernels.binary_number(op, row, right[r], swapped, y + r * width, width);
      else if (swapped) kernels.binary(op, right, row, y + r * width, width);
      else kernels.binary(op, row, right, y + r * width, width);
    }
  }, 1 << 15);
  return a.Nothing();
}

// binaryNumber(op, a, number, numberFirst, y, n)
Napi::Value BinaryNumberCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const Binary op = static_cast<Binary>(a.Int(0));
  const i64 n = a.Int(5);
  const float* x = a.Floats(1, n);
  const float number = a.Number(2);
  const bool first_operand = a.Flag(3);
  float* y = a.Floats(4, n);
  const Kernels& kernels = Selected();
  ForStretch(n, [&](i64 first, i64 last) {
    kernels.binary_number(op, x + first, number, first_operand, y + first, last - first);
  });
  return a.Nothing();
}

// unary(op, x, number, y, n)
Napi::Value UnaryCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const Unary op = static_cast<Unary>(a.Int(0));
  const i64 n = a.Int(4);
  const float* x = a.Floats(1, n);
  const float number = a.Number(2);
  float* y = a.Floats(3, n);
  const Kernels& kernels = Selected();
  ForStretch(n, [&](i64 first, i64 last) { kernels.unary(op, x + first, number, y + first, last - first); });
  return a.Nothing();
}

// sumMiddle(x, y, outer, middle, inner, scale): y[outer, inner] = scale * the sum over the middle axis.
Napi::Value SumMiddleCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  const i64 outer = a.Int(2), middle = a.Int(3), inner = a.Int(4);
  const float* x = a.Floats(0, outer * middle * inner);
  float* y = a.Floats(1, outer * inner);
  const float scale = a.Number(5);
  const Kernels& kernels = Selected();
  ForRows(outer, middle * inner, [&](i64 first, i64 last, i64) {
    for (i64 o = first; o < last; o++) {
      const float* from = x + o * middle * inner;
      if (inner == 1) {
        y[o] = kernels.sum(from, middle) * scale;
        continue;
      }
      float* to = y + o * inner;
      std::memset(to, 0, inner * sizeof(float));
      for (i64 m = 0; m < middle; m++) kernels.combine(scale, from + m * inner, 1, to, inner);
    }
  }, 1 << 15);
  return a.Nothing();
}

// permute(x, y, d0..d3, s0..s3): y of shape d, contiguous, from x with strides s (in elements).
Napi::Value PermuteCall(const Napi::CallbackInfo& info) {
  const Arguments a(info);
  i64 d[4], s[4], size = 1;
  for (int i = 0; i < 4; i++) {
    d[i] = a.Int(2 + i);
    s[i] = a.Int(6 + i);
    size *= d[i];
  }
  const float* x = a.Floats(0, size);
  float* y = a.Floats(1, size);
  constexpr i64 kTile = 16;
  ForRows(d[0] * d[1], d[2] * d[3], [&](i64 first, i64 last, i64) {
    for (i64 i = first; i < last; i++) {
      const float* from = x + i / d[1] * s[0] + i % d[1] * s[1];
      float* to = y + i * d[2] * d[3];
      if (s[3] == 1) {
        for (i64 j = 0; j < d[2]; j++) std::memcpy(to + j * d[3], from + j * s[2], d[3] * sizeof(float));
        continue;
      }
      for (i64 j0 = 0; j0 < d[2]; j0 += kTile)
        for (i64 k = 0; k < d[3]; k++)
          for (i64 j = j0; j < std::min(d[2], j0 + kTile); j++) to[j * d[3] + k] = from[j * s[2] + k * s[3]];
    }
  }, 1 << 15);
  return a.Nothing();
}

}  // namespace

void InitBackend(Napi::Env env, Napi::Object functions) {
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    functions.Set(name, Napi::Function::New(env, function, name));
  };
  add("floats", FloatsCall);
  add("gemm", GemmCall);
  add("fmaChain", FmaChainCall);
  add("binary", BinaryCall);
  add("binaryNumber", BinaryNumberCall);
  add("unary", UnaryCall);
  add("sumMiddle", SumMiddleCall);
  add("permute", PermuteCall);
}

}  // namespace onebit::training
