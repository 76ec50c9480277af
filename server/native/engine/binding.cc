#include "engine/binding.h"

namespace onebit {

void InitEngine(Napi::Env, Napi::Object) {}

}  // namespace onebit
