#include "svid/binding.h"

namespace onebit {

void InitSvid(Napi::Env, Napi::Object) {}

}  // namespace onebit
