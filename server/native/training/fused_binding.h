#pragma once
#include <napi.h>

namespace onebit::training {

// The fused ops of server/distill/ops and their gradients.
void InitFused(Napi::Env env, Napi::Object functions);

}  // namespace onebit::training
