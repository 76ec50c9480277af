#include "svid/lanes_avx2.h"
#include "svid/rank_one_loops.h"

namespace onebit {
const RankOneKernels& Avx2RankOneKernels(FloatType type) { return KernelsOf<Avx2Lanes>(type); }

}  // namespace onebit
