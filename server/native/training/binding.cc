#include "training/binding.h"

#include "training/backend_binding.h"
#include "training/fused_binding.h"

namespace onebit {

void InitTraining(Napi::Env env, Napi::Object exports) {
  Napi::Object functions = Napi::Object::New(env);
  training::InitFused(env, functions);
  training::InitBackend(env, functions);
  exports.Set("training", functions);
}

}  // namespace onebit
