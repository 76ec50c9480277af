// The addon's entry: each stage that has kernels registers its functions here.
#include <napi.h>

#include "cpu_features.h"
#include "engine/binding.h"
#include "svid/binding.h"
#include "thread_pool.h"
#include "training/binding.h"

namespace {

Napi::Value SetThreads(const Napi::CallbackInfo& info) {
  onebit::ThreadPool::Shared().SetThreads(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

Napi::Value Threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), onebit::ThreadPool::Shared().threads());
}

}  // namespace

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("isa", Napi::String::New(env, onebit::IsaName(onebit::SelectedIsa())));
  exports.Set("setThreads", Napi::Function::New(env, SetThreads));
  exports.Set("threads", Napi::Function::New(env, Threads));
  onebit::InitEngine(env, exports);
  onebit::InitSvid(env, exports);
  onebit::InitTraining(env, exports);
  return exports;
}

NODE_API_MODULE(onebit, Init)
