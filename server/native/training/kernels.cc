#include "training/kernels.h"

#include "cpu_features.h"

namespace onebit::training {

const Kernels& Selected() {
#if defined(__x86_64__)
  switch (SelectedIsa()) {
    case Isa::kAvx512: return kAvx512Kernels;
    case Isa::kAvx2: return kAvx2Kernels;
    default: return kPortableKernels;
  }
#else
  return kPortableKernels;
#endif
}

}  // namespace onebit::training
