#include "inspect/inspect_loops.h"
#include "svid/lanes_avx512.h"

namespace onebit {

const InspectKernels& Avx512InspectKernels(FloatType type) { return InspectKernelsOf<Avx512Lanes>(type); }

}  // namespace onebit
