// inspectCount(signs, rows, columns), inspectCompare(weights, type, rows, columns, signs, g, h),
// inspectStep(weights, type, rows, columns, v, scale) and inspectLatent(weights, type, rows, columns, part):
// promises; the work runs on Node's thread pool, off the main thread.
#include "inspect/binding.h"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "held_bytes.h"
#include "inspect/matrix_passes.h"

namespace onebit {
namespace {

// Runs `work` off the main thread, then makes the promise's value of its result. Holds the arrays meanwhile.
template <typename Result>
class Pass : public Napi::AsyncWorker {
 public:
  Pass(Napi::Env env, std::vector<std::unique_ptr<HeldBytes>> held, std::function<Result()> work,
       std::function<Napi::Object(Napi::Env, const Result&)> value)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        held_(std::move(held)),
        work_(std::move(work)),
        value_(std::move(value)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute() override { result_ = work_(); }
  void OnOK() override { deferred_.Resolve(value_(Env(), result_)); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  std::vector<std::unique_ptr<HeldBytes>> held_;
  std::function<Result()> work_;
  std::function<Napi::Object(Napi::Env, const Result&)> value_;
  Result result_;
};

// The arguments of a call: its arrays, and their lengths checked before anything runs.
class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  int64_t Number(size_t i) const { return info_[i].As<Napi::Number>().Int64Value(); }

  uint8_t* Bytes(size_t i, int64_t length) {
    held_.push_back(std::make_unique<HeldBytes>(info_[i]));
    if (length < 0 || held_.back()->length() != static_cast<size_t>(length)) {
      throw Napi::Error::New(info_.Env(), "inspect: an array does not hold what the shape says");
    }
    return held_.back()->data();
  }

  // Arguments 0 to 3: weights, type, rows, columns.
  MatrixView Weights() {
    const FloatType type = static_cast<FloatType>(info_[1].As<Napi::Number>().Int32Value());
    const int64_t rows = Shape(2), columns = Shape(3);
    return {Bytes(0, rows * columns * FloatSize(type)), type, rows, columns};
  }

  // A size; at most 2^24, so that no product of two passes 64 bits.
  int64_t Shape(size_t i) const {
    const int64_t size = Number(i);
    if (size < 1 || size > 1 << 24) throw Napi::Error::New(info_.Env(), "inspect: a size out of range");
    return size;
  }

  template <typename Result>
  Napi::Value Run(std::function<Result()> work, std::function<Napi::Object(Napi::Env, const Result&)> value) {
    auto* pass = new Pass<Result>(info_.Env(), std::move(held_), std::move(work), std::move(value));
    const Napi::Promise promise = pass->promise();
    pass->Queue();
    return promise;
  }

  void NeedPacked(int64_t columns) const {
    if (columns % 8 != 0) throw Napi::Error::New(info_.Env(), "inspect: columns must be a multiple of 8");
  }

 private:
  const Napi::CallbackInfo& info_;
  std::vector<std::unique_ptr<HeldBytes>> held_;
};

Napi::Value Count(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int64_t rows = arguments.Shape(1), columns = arguments.Shape(2);
  arguments.NeedPacked(columns);
  const uint8_t* signs = arguments.Bytes(0, rows * (columns / 8));
  return arguments.Run<NegativeCounts>([=] { return CountNegative(signs, rows, columns); },
                                       [](Napi::Env env, const NegativeCounts& counts) {
                                         Napi::Object out = Napi::Object::New(env);
                                         out.Set("rows", CopyOut<Napi::Uint32Array>(env, counts.by_row));
                                         out.Set("columns", CopyOut<Napi::Uint32Array>(env, counts.by_column));
                                         return out;
                                       });
}

Napi::Value Compare(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const MatrixView w = arguments.Weights();
  arguments.NeedPacked(w.columns);
  const uint8_t* signs = arguments.Bytes(4, w.rows * (w.columns / 8));
  const float* g = reinterpret_cast<const float*>(arguments.Bytes(5, 4 * w.columns));
  const float* h = reinterpret_cast<const float*>(arguments.Bytes(6, 4 * w.rows));
  return arguments.Run<Comparison>([=] { return CompareWithTeacher(w, signs, g, h); },
                                   [](Napi::Env env, const Comparison& found) {
                                     Napi::Object out = Napi::Object::New(env);
                                     out.Set("error", found.sums.error);
                                     out.Set("total", found.sums.total);
                                     out.Set("product", found.sums.product);
                                     out.Set("different", static_cast<double>(found.sums.different));
                                     out.Set("absolute", CopyOut<Napi::Float64Array>(env, found.absolute));
                                     return out;
                                   });
}

Napi::Value Step(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const MatrixView w = arguments.Weights();
  const float* v = reinterpret_cast<const float*>(arguments.Bytes(4, 4 * w.columns));
  const double scale = info[5].As<Napi::Number>().DoubleValue();
  return arguments.Run<AbsoluteStep>([=] { return StepAbsolute(w, v, scale); },
                                     [](Napi::Env env, const AbsoluteStep& step) {
                                       Napi::Object out = Napi::Object::New(env);
                                       out.Set("squares", step.squares);
                                       out.Set("product", CopyOut<Napi::Float64Array>(env, step.product));
                                       return out;
                                     });
}

Napi::Value Latent(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const MatrixView w = arguments.Weights();
  arguments.NeedPacked(w.columns);
  const double part = info[4].As<Napi::Number>().DoubleValue();
  return arguments.Run<LatentSigns>([=] { return PackLatent(w, part); },
                                    [](Napi::Env env, const LatentSigns& latent) {
                                      Napi::Object out = Napi::Object::New(env);
                                      out.Set("signs", CopyOut<Napi::Uint8Array>(env, latent.signs));
                                      out.Set("squares", latent.squares);
                                      out.Set("nearZero", static_cast<double>(latent.near_zero));
                                      return out;
                                    });
}

}  // namespace

void InitInspect(Napi::Env env, Napi::Object exports) {
  exports.Set("inspectCount", Napi::Function::New(env, Count));
  exports.Set("inspectCompare", Napi::Function::New(env, Compare));
  exports.Set("inspectStep", Napi::Function::New(env, Step));
  exports.Set("inspectLatent", Napi::Function::New(env, Latent));
}

}  // namespace onebit
