#pragma once
#include <napi.h>

namespace onebit {

// Registers the inspector's functions on the addon's exports.
void InitInspect(Napi::Env env, Napi::Object exports);

}  // namespace onebit
