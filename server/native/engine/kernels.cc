#include "engine/kernels.h"

namespace onebit {

const Kernels& SelectedKernels() {
  switch (SelectedIsa()) {
#if defined(__x86_64__) || defined(_M_X64)
    case Isa::kAvx512: return Avx512Kernels();
    case Isa::kAvx2: return Avx2Kernels();
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
    case Isa::kNeon: return NeonKernels();
#endif
    default: return PortableKernels();
  }
}

}  // namespace onebit
