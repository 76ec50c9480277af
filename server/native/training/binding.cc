#include "training/binding.h"

namespace onebit {

void InitTraining(Napi::Env, Napi::Object) {}

}  // namespace onebit
