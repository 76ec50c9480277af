// The addon's entry: each stage that has kernels registers its functions here.
#include <napi.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "cpu_features.h"
#include "engine/binding.h"
#include "inspect/binding.h"
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

// Gives what was freed back to the system. glibc keeps freed blocks of up to 32 MB for itself once blocks of
// that size have been used, and a model's or a GPU driver's are of that size.
Napi::Value TrimMemory(const Napi::CallbackInfo& info) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
  return info.Env().Undefined();
}

}  // namespace

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("isa", Napi::String::New(env, onebit::IsaName(onebit::SelectedIsa())));
  exports.Set("setThreads", Napi::Function::New(env, SetThreads));
  exports.Set("threads", Napi::Function::New(env, Threads));
  exports.Set("trimMemory", Napi::Function::New(env, TrimMemory));
  onebit::InitEngine(env, exports);
  onebit::InitInspect(env, exports);
  onebit::InitSvid(env, exports);
  onebit::InitTraining(env, exports);
  return exports;
}

NODE_API_MODULE(onebit, Init)
