#pragma once
#include <napi.h>

namespace onebit {

// Registers the svid functions on the addon's exports.
void InitSvid(Napi::Env env, Napi::Object exports);

}  // namespace onebit
