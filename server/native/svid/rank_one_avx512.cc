#include "svid/lanes_avx512.h"
#include "svid/rank_one_loops.h"

namespace onebit {
const RankOneKernels& Avx512RankOneKernels(FloatType type) { return KernelsOf<Avx512Lanes>(type); }

}  // namespace onebit
