// svid(weights, type, rows, columns, tolerance, maxIterations, stop) and halve(values, type, count):
// promises; the work runs on Node's thread pool, off the main thread.
#include "svid/binding.h"

#include "held_bytes.h"
#include "svid/rank_one.h"

namespace onebit {
namespace {

class SvidWorker : public Napi::AsyncWorker {
 public:
  SvidWorker(Napi::Env env, const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        weights_(info[0]),
        stop_(info[6]) {
    request_.weights = weights_.data();
    request_.type = static_cast<FloatType>(info[1].As<Napi::Number>().Int32Value());
    request_.rows = info[2].As<Napi::Number>().Int64Value();
    request_.columns = info[3].As<Napi::Number>().Int64Value();
    request_.tolerance = info[4].As<Napi::Number>().DoubleValue();
    request_.max_iterations = info[5].As<Napi::Number>().Int32Value();
    request_.stop = reinterpret_cast<const int32_t*>(stop_.data());
  }

  bool Fits() const {
    return request_.rows > 0 && request_.columns > 0 && stop_.length() >= 4 &&
           static_cast<uint64_t>(request_.rows) * request_.columns * FloatSize(request_.type) ==
               weights_.length();
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { result_ = FactorRankOne(request_); }

  void OnOK() override {
    const Napi::Env env = Env();
    Napi::Object out = Napi::Object::New(env);
    using Status = RankOneResult::Status;
    out.Set("status", result_.status == Status::kDone      ? "done"
                      : result_.status == Status::kStopped ? "stopped"
                                                           : "not-finite");
    out.Set("badRow", static_cast<double>(result_.bad_row));
    out.Set("badColumn", static_cast<double>(result_.bad_column));
    out.Set("g", CopyOut<Napi::Float32Array>(env, result_.g));
    out.Set("h", CopyOut<Napi::Float32Array>(env, result_.h));
    out.Set("signs", CopyOut<Napi::Uint8Array>(env, result_.signs));
    out.Set("relativeError", result_.relative_error);
    out.Set("iterations", result_.iterations);
    deferred_.Resolve(out);
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  HeldBytes weights_;
  HeldBytes stop_;
  RankOneRequest request_{};
  RankOneResult result_;
};

Napi::Value Svid(const Napi::CallbackInfo& info) {
  SvidWorker* worker = new SvidWorker(info.Env(), info);
  if (!worker->Fits()) {
    delete worker;
    throw Napi::Error::New(info.Env(), "svid: the buffer does not hold rows × columns weights");
  }
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

class HalveWorker : public Napi::AsyncWorker {
 public:
  HalveWorker(Napi::Env env, const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        from_(info[0]),
        to_(info[2]),
        type_(static_cast<FloatType>(info[1].As<Napi::Number>().Int32Value())) {}

  bool Fits() const { return from_.length() / FloatSize(type_) == to_.length() / 2; }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    bad_ = SelectedRankOneKernels(type_).halve(from_.data(), static_cast<int64_t>(to_.length() / 2),
                                               reinterpret_cast<uint16_t*>(to_.data()));
  }

  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), static_cast<double>(bad_))); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  HeldBytes from_;
  HeldBytes to_;
  FloatType type_;
  int64_t bad_ = -1;
};

Napi::Value Halve(const Napi::CallbackInfo& info) {
  HalveWorker* worker = new HalveWorker(info.Env(), info);
  if (!worker->Fits()) {
    delete worker;
    throw Napi::Error::New(info.Env(), "halve: the two buffers differ in length");
  }
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace

void InitSvid(Napi::Env env, Napi::Object exports) {
  exports.Set("svid", Napi::Function::New(env, Svid));
  exports.Set("halve", Napi::Function::New(env, Halve));
}

}  // namespace onebit
