#include "cpu_features.h"
#include "inspect/inspect_loops.h"
#include "svid/lanes_portable.h"

namespace onebit {

const InspectKernels& PortableInspectKernels(FloatType type) { return InspectKernelsOf<PortableLanes>(type); }

const InspectKernels& SelectedInspectKernels(FloatType type) {
  switch (SelectedIsa()) {
#if defined(__x86_64__) || defined(_M_X64)
    case Isa::kAvx512: return Avx512InspectKernels(type);
    case Isa::kAvx2: return Avx2InspectKernels(type);
#endif
    default: return PortableInspectKernels(type);
  }
}

}  // namespace onebit
