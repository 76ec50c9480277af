#include "cpu_features.h"
#include "svid/lanes_portable.h"
#include "svid/rank_one_loops.h"

namespace onebit {
const RankOneKernels& PortableRankOneKernels(FloatType type) { return KernelsOf<PortableLanes>(type); }

const RankOneKernels& SelectedRankOneKernels(FloatType type) {
  switch (SelectedIsa()) {
#if defined(__x86_64__) || defined(_M_X64)
    case Isa::kAvx512: return Avx512RankOneKernels(type);
    case Isa::kAvx2: return Avx2RankOneKernels(type);
#endif
    default: return PortableRankOneKernels(type);
  }
}

}  // namespace onebit
