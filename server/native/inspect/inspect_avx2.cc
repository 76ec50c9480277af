#include "inspect/inspect_loops.h"
#include "svid/lanes_avx2.h"

namespace onebit {

const InspectKernels& Avx2InspectKernels(FloatType type) { return InspectKernelsOf<Avx2Lanes>(type); }

}  // namespace onebit
