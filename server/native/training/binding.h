#pragma once
#include <napi.h>

namespace onebit {

// Registers the training functions on the addon's exports.
void InitTraining(Napi::Env env, Napi::Object exports);

}  // namespace onebit
