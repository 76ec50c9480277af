#pragma once
#include <napi.h>

namespace onebit {

// Registers the engine functions on the addon's exports.
void InitEngine(Napi::Env env, Napi::Object exports);

}  // namespace onebit
