#include "cpu_features.h"

#include <cstdlib>
#include <cstring>

namespace onebit {
namespace {

Isa Detect() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
  if (avx512) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
#elif defined(__aarch64__)
  return Isa::kNeon;  // NEON is part of the AArch64 baseline.
#endif
  return Isa::kPortable;
}

Isa Select() {
  const Isa best = Detect();
  const char* forced = std::getenv("ONEBIT_CPU");
  if (forced == nullptr) return best;
  if (std::strcmp(forced, "portable") == 0) return Isa::kPortable;
  if (std::strcmp(forced, "avx2") == 0 && best == Isa::kAvx512) return Isa::kAvx2;
  return best;
}

}  // namespace

Isa SelectedIsa() {
  static const Isa isa = Select();
  return isa;
}

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx2: return "avx2";
    case Isa::kNeon: return "neon";
    case Isa::kPortable: return "portable";
  }
  return "portable";
}

}  // namespace onebit
