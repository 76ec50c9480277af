#pragma once
#include <napi.h>

namespace onebit::training {

// The plain tensor kernels of the native backend: products, elementwise, reductions, moves.
void InitBackend(Napi::Env env, Napi::Object functions);

}  // namespace onebit::training
