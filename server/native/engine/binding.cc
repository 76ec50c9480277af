// The engine's class on the addon: NativeModel (server/engine/cpu/native-bindings.ts has its types).
// Loading and the forward pass run on a thread of libuv's pool and, from there, on the engine's own.
#include "engine/binding.h"

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/forward.h"
#include "engine/kv_cache.h"
#include "engine/model.h"
#include "engine/model_bytes.h"

namespace onebit {
namespace {

// What the JavaScript object owns; running work shares it, so that freeing waits for the work.
struct Loaded {
  explicit Loaded(const ModelShape& shape) : model(shape, SelectedKernels()) {}
  Model model;
  std::unique_ptr<ForwardPass> pass;
  std::map<int, std::shared_ptr<KvCache>> caches;
  int next_cache = 0;
  bool running = false;
};

// Most likely tokens that a row may be asked for; mostTop in TypeScript.
constexpr int kMostTop = 64;

// Work off the main thread that settles a promise: `Execute` returns its text or throws.
class PromiseWorker : public Napi::AsyncWorker {
 public:
  PromiseWorker(Napi::Env env, std::shared_ptr<Loaded> loaded)
      : Napi::AsyncWorker(env), loaded_(std::move(loaded)), promise_(Napi::Promise::Deferred::New(env)) {}
  Napi::Value Start() {
    const Napi::Value promise = promise_.Promise();
    Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      outcome_ = Work();
    } catch (const std::bad_alloc&) {
      outcome_ = "out-of-memory";
    }
  }
  virtual const char* Work() = 0;
  virtual void Done() {}
  void OnOK() override {
    Done();
    promise_.Resolve(Napi::String::New(Env(), outcome_));
  }
  void OnError(const Napi::Error& error) override {
    Done();
    promise_.Reject(error.Value());
  }

  std::shared_ptr<Loaded> loaded_;

 private:
  Napi::Promise::Deferred promise_;
  const char* outcome_ = "";
};

const char* ResultName(LoadResult result) {
  switch (result) {
    case LoadResult::kOk: return "ok";
    case LoadResult::kUnreadable: return "unreadable";
    case LoadResult::kNotFinite: return "not-finite";
  }
  return "unreadable";
}

struct MatrixRequest {
  TensorSource source;
  FloatType type = FloatType::kF32;
  bool packed = false;   // the source holds packed signs
  bool latents = false;  // the source holds floats of which only the signs are wanted
  int out = 0;
  int in = 0;
  FloatMatrix* floats = nullptr;
  SignMatrix* signs = nullptr;
};

class LoadWorker : public PromiseWorker {
 public:
  LoadWorker(Napi::Env env, std::shared_ptr<Loaded> loaded, MatrixRequest request, Napi::Value keep)
      : PromiseWorker(env, std::move(loaded)), request_(std::move(request)) {
    if (keep.IsObject()) keep_ = Napi::Persistent(keep.As<Napi::Object>());
  }

 protected:
  const char* Work() override {
    const MatrixRequest& r = request_;
    const Kernels& kernels = loaded_->model.kernels;
    PagePool& pool = loaded_->model.pool;
    if (r.packed) return ResultName(LoadPackedSigns(r.source, kernels, r.out, r.in, pool, r.signs));
    if (r.latents) return ResultName(LoadLatentSigns(r.source, r.type, kernels, r.out, r.in, pool, r.signs));
    return ResultName(LoadFloats(r.source, r.type, r.out, r.in, pool, r.floats));
  }

 private:
  MatrixRequest request_;
  Napi::ObjectReference keep_;
};

class RoundHeadWorker : public PromiseWorker {
 public:
  using PromiseWorker::PromiseWorker;

 protected:
  const char* Work() override {
    loaded_->model.RoundHead();
    return "ok";
  }
};

class CopyWorker : public PromiseWorker {
 public:
  CopyWorker(Napi::Env env, std::shared_ptr<Loaded> loaded, std::shared_ptr<KvCache> from, std::shared_ptr<KvCache> to,
             int first, int end)
      : PromiseWorker(env, std::move(loaded)), from_(std::move(from)), to_(std::move(to)), first_(first), end_(end) {}

 protected:
  const char* Work() override {
    to_->CopyFrom(*from_, loaded_->model.shape, first_, end_);
    return "ok";
  }

 private:
  std::shared_ptr<KvCache> from_, to_;
  int first_, end_;
};

class ForwardWorker : public PromiseWorker {
 public:
  ForwardWorker(Napi::Env env, std::shared_ptr<Loaded> loaded, Napi::Array outputs, Napi::Int32Array ids,
                Napi::Float32Array values)
      : PromiseWorker(env, std::move(loaded)), outputs_(Napi::Persistent(outputs.As<Napi::Object>())),
        ids_(Napi::Persistent(ids.As<Napi::Object>())), values_(Napi::Persistent(values.As<Napi::Object>())) {}

  int32_t tokens[ForwardPass::kMaxRows];
  int32_t positions[ForwardPass::kMaxRows];
  int32_t wanted_rows[ForwardPass::kMaxRows];
  KvCache* caches[ForwardPass::kMaxRows];
  float* logits[ForwardPass::kMaxRows];
  TopTokens tops[ForwardPass::kMaxRows];
  int rows = 0;
  int wanted = 0;

 protected:
  const char* Work() override {
    return loaded_->pass->Run({rows, tokens, positions, caches, wanted, wanted_rows, logits, tops}) ? "ok" : "cancelled";
  }
  void Done() override { loaded_->running = false; }

 private:
  Napi::ObjectReference outputs_, ids_, values_;
};

class NativeModel : public Napi::ObjectWrap<NativeModel> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    exports.Set("NativeModel", DefineClass(env, "NativeModel",
                                           {
                                               InstanceMethod<&NativeModel::LoadMatrix>("loadMatrix"),
                                               InstanceMethod<&NativeModel::SetVector>("setVector"),
                                               InstanceMethod<&NativeModel::RoundHead>("roundHead"),
                                               InstanceMethod<&NativeModel::Prepare>("prepare"),
                                               InstanceMethod<&NativeModel::OpenCache>("openCache"),
                                               InstanceMethod<&NativeModel::CloseCache>("closeCache"),
                                               InstanceMethod<&NativeModel::CopyCache>("copyCache"),
                                               InstanceMethod<&NativeModel::Forward>("forward"),
                                               InstanceMethod<&NativeModel::Cancel>("cancel"),
                                               InstanceMethod<&NativeModel::Bytes>("bytes"),
                                               InstanceMethod<&NativeModel::Free>("free"),
                                           }));
  }

  // new NativeModel(shape)
  explicit NativeModel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeModel>(info) {
    const Napi::Object object = info[0].As<Napi::Object>();
    const auto number = [&](const char* name) { return object.Get(name).As<Napi::Number>(); };
    const auto flag = [&](const char* name) { return object.Get(name).As<Napi::Boolean>().Value(); };
    ModelShape shape;
    shape.hidden = number("hidden").Int32Value();
    shape.intermediate = number("intermediate").Int32Value();
    shape.layers = number("layers").Int32Value();
    shape.heads = number("heads").Int32Value();
    shape.kv_heads = number("kvHeads").Int32Value();
    shape.head_dim = number("headDim").Int32Value();
    shape.vocab = number("vocab").Int32Value();
    shape.context = number("context").Int32Value();
    shape.rms_eps = number("rmsEps").FloatValue();
    shape.layer_norm_eps = number("layerNormEps").FloatValue();
    shape.rope_theta = number("ropeTheta").DoubleValue();
    shape.tied = flag("tied");
    shape.exact = flag("exact");
    shape.half_cache = flag("halfCache");
    loaded_ = std::make_shared<Loaded>(shape);
  }

 private:
  Loaded& Get() const {
    if (loaded_ == nullptr) throw Napi::Error::New(Env(), "The model has been freed.");
    return *loaded_;
  }

  // loadMatrix(slot, layer, projection, out, in, dtype, source, offset, byteLength): slot is 'embedding',
  // 'head', 'weights' or 'signs'; the source a file's name, or a Uint8Array (offset 0).
  Napi::Value LoadMatrix(const Napi::CallbackInfo& info) {
    Loaded& loaded = Get();
    MatrixRequest request;
    const std::string slot = info[0].As<Napi::String>().Utf8Value();
    request.out = info[3].As<Napi::Number>().Int32Value();
    request.in = info[4].As<Napi::Number>().Int32Value();
    const std::string dtype = info[5].As<Napi::String>().Utf8Value();
    request.type = dtype == "F32" ? FloatType::kF32 : dtype == "F16" ? FloatType::kF16 : FloatType::kBf16;
    request.source.bytes = info[8].As<Napi::Number>().Int64Value();
    if (info[6].IsString()) {
      request.source.file = info[6].As<Napi::String>().Utf8Value();
      request.source.offset = info[7].As<Napi::Number>().Int64Value();
    } else {
      Napi::Uint8Array bytes = info[6].As<Napi::Uint8Array>();
      request.source.memory = bytes.Data();
    }
    if (slot == "embedding" || slot == "head") {
      request.floats = slot == "head" ? &loaded.model.head : &loaded.model.embedding;
    } else {
      Linear& linear = LinearAt(info[1], info[2]);
      linear.out = request.out;
      linear.in = request.in;
      linear.is_signs = slot == "signs";
      request.floats = &linear.floats;
      request.signs = &linear.signs;
      request.packed = linear.is_signs && dtype == "U8";
      request.latents = linear.is_signs && dtype != "U8";
    }
    return (new LoadWorker(info.Env(), loaded_, std::move(request), info[6]))->Start();
  }

  // setVector(name, layer, projection, values): name is 'g', 'h', 'bias', 'inputNorm', 'postNorm' or 'norm'.
  void SetVector(const Napi::CallbackInfo& info) {
    Loaded& loaded = Get();
    const std::string name = info[0].As<Napi::String>().Utf8Value();
    const Napi::Float32Array values = info[3].As<Napi::Float32Array>();
    std::vector<float> copy(values.Data(), values.Data() + values.ElementLength());
    if (name == "norm") loaded.model.norm = std::move(copy);
    else if (name == "inputNorm") LayerAt(info[1]).input_norm = std::move(copy);
    else if (name == "postNorm") LayerAt(info[1]).post_norm = std::move(copy);
    else if (name == "g") LinearAt(info[1], info[2]).g = std::move(copy);
    else if (name == "h") LinearAt(info[1], info[2]).h = std::move(copy);
    else LinearAt(info[1], info[2]).bias = std::move(copy);
  }

  // roundHead(): the lm_head in 8 bits a weight, once it (or the tied embedding) is loaded.
  Napi::Value RoundHead(const Napi::CallbackInfo& info) {
    if (Get().model.Head().out == 0) throw Napi::Error::New(info.Env(), "There is no head.");
    return (new RoundHeadWorker(info.Env(), loaded_))->Start();
  }

  // prepare(): takes the scratch memory, once everything is loaded.
  void Prepare(const Napi::CallbackInfo& info) {
    Loaded& loaded = Get();
    Guarded(info, [&] { loaded.pass = std::make_unique<ForwardPass>(loaded.model); });
  }

  // openCache(): number
  Napi::Value OpenCache(const Napi::CallbackInfo& info) {
    Loaded& loaded = Get();
    Guarded(info, [&] { loaded.caches[loaded.next_cache] = std::make_shared<KvCache>(loaded.model.shape); });
    return Napi::Number::New(info.Env(), loaded.next_cache++);
  }

  // closeCache(cache): must not be in use.
  void CloseCache(const Napi::CallbackInfo& info) { Get().caches.erase(info[0].As<Napi::Number>().Int32Value()); }

  // copyCache(from, to, first, end): the positions' keys and values; neither may be in use.
  Napi::Value CopyCache(const Napi::CallbackInfo& info) {
    Loaded& loaded = Get();
    const auto number = [&](int i) { return info[static_cast<size_t>(i)].As<Napi::Number>().Int32Value(); };
    const auto from = loaded.caches.find(number(0));
    const auto to = loaded.caches.find(number(1));
    const int first = number(2), end = number(3);
    if (from == loaded.caches.end() || to == loaded.caches.end() || from == to || first < 0 || end < first ||
        end > loaded.model.shape.context) {
      throw Napi::Error::New(info.Env(), "The copy is out of range.");
    }
    return (new CopyWorker(info.Env(), loaded_, from->second, to->second, first, end))->Start();
  }

  // forward(tokens, positions, caches, wanted, outputs, topIds, topValues): one Int32Array element a row; wanted holds
  // (row, index of the output, row of the output, count of the most likely tokens or 0 for all logits). Those of the
  // i-th wanted row go to ids[i·64 …] and values[i·65 …], after ln Σ exp(logit). Resolves to 'ok' or 'cancelled'.
  Napi::Value Forward(const Napi::CallbackInfo& info) {
    Loaded& loaded = Get();
    if (loaded.pass == nullptr || loaded.running) throw Napi::Error::New(info.Env(), "The model is not ready.");
    const auto tokens = info[0].As<Napi::Int32Array>();
    const auto positions = info[1].As<Napi::Int32Array>();
    const auto caches = info[2].As<Napi::Int32Array>();
    const auto wanted = info[3].As<Napi::Int32Array>();
    const auto outputs = info[4].As<Napi::Array>();
    auto ids = info[5].As<Napi::Int32Array>();
    auto values = info[6].As<Napi::Float32Array>();
    const ModelShape& shape = loaded.model.shape;
    const size_t rows = tokens.ElementLength();
    if (rows > ForwardPass::kMaxRows || wanted.ElementLength() > 4 * rows || positions.ElementLength() != rows ||
        caches.ElementLength() != rows) {
      throw Napi::Error::New(info.Env(), "The block has too many rows.");
    }
    auto worker = std::make_unique<ForwardWorker>(info.Env(), loaded_, outputs, ids, values);
    worker->rows = static_cast<int>(rows);
    for (size_t i = 0; i < rows; i++) {
      const auto cache = loaded.caches.find(caches[i]);
      if (cache == loaded.caches.end() || tokens[i] < 0 || tokens[i] >= shape.vocab || positions[i] < 0 ||
          positions[i] >= shape.context) {
        throw Napi::Error::New(info.Env(), "A row of the block is out of range.");
      }
      worker->tokens[i] = tokens[i];
      worker->positions[i] = positions[i];
      worker->caches[i] = cache->second.get();
    }
    for (size_t i = 0; i + 3 < wanted.ElementLength(); i += 4) {
      const size_t at = static_cast<size_t>(worker->wanted);
      if (const int count = wanted[i + 3]; count > 0) {
        if (static_cast<size_t>(wanted[i]) >= rows || count > kMostTop || count > shape.vocab ||
            (at + 1) * kMostTop > ids.ElementLength() || (at + 1) * (kMostTop + 1) > values.ElementLength()) {
          throw Napi::Error::New(info.Env(), "Wanted tokens are out of range.");
        }
        float* found = values.Data() + at * (kMostTop + 1);
        worker->tops[at] = {count, ids.Data() + at * kMostTop, found + 1, found};
        worker->wanted_rows[worker->wanted++] = wanted[i];
        continue;
      }
      auto output = outputs.Get(static_cast<uint32_t>(wanted[i + 1])).As<Napi::Float32Array>();
      const size_t start = static_cast<size_t>(wanted[i + 2]) * static_cast<size_t>(shape.vocab);
      if (static_cast<size_t>(wanted[i]) >= rows || start + static_cast<size_t>(shape.vocab) > output.ElementLength()) {
        throw Napi::Error::New(info.Env(), "Wanted logits are out of range.");
      }
      worker->wanted_rows[worker->wanted] = wanted[i];
      worker->logits[worker->wanted++] = output.Data() + start;
    }
    loaded.running = true;
    loaded.pass->Rearm();
    return worker.release()->Start();
  }

  // cancel(): the running forward ends before its next layer.
  void Cancel(const Napi::CallbackInfo&) {
    if (loaded_ != nullptr && loaded_->pass != nullptr) loaded_->pass->Cancel();
  }

  // bytes(): what is held, by part, without caches.
  Napi::Value Bytes(const Napi::CallbackInfo& info) {
    const Loaded& loaded = Get();
    const ModelBytes bytes = BytesOf(loaded.model, loaded.pass.get());
    Napi::Object result = Napi::Object::New(info.Env());
    const auto set = [&](const char* name, double size) { result.Set(name, Napi::Number::New(info.Env(), size)); };
    set("signs", bytes.signs);
    set("values", bytes.values);
    set("weights", bytes.weights);
    set("embedding", bytes.embedding);
    set("head", bytes.head);
    set("norms", bytes.norms);
    set("scratch", bytes.scratch);
    set("cachePosition", bytes.cache_position);
    return result;
  }

  // free(): gives all memory back, at once or when the running forward ends.
  void Free(const Napi::CallbackInfo&) { loaded_.reset(); }

  Layer& LayerAt(const Napi::Value& index) {
    std::vector<Layer>& layers = Get().model.layers;
    const size_t at = static_cast<size_t>(index.As<Napi::Number>().Int32Value());
    if (at >= layers.size()) throw Napi::Error::New(Env(), "No such layer.");
    return layers[at];
  }

  Linear& LinearAt(const Napi::Value& layer, const Napi::Value& projection) {
    const int at = projection.As<Napi::Number>().Int32Value();
    if (at < 0 || at >= kProjections) throw Napi::Error::New(Env(), "No such projection.");
    return LayerAt(layer).linear[at];
  }

  template <typename F>
  void Guarded(const Napi::CallbackInfo& info, F&& f) {
    try {
      f();
    } catch (const std::bad_alloc&) {
      throw Napi::Error::New(info.Env(), "out-of-memory");
    }
  }

  std::shared_ptr<Loaded> loaded_;
};

}  // namespace

void InitEngine(Napi::Env env, Napi::Object exports) { NativeModel::Init(env, exports); }

}  // namespace onebit
