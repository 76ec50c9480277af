#if defined(__x86_64__)
// 6 x 2 accumulators, two vectors of B and a broadcast: 15 of the 16 registers.
#define ONEBIT_LANES 8
#define ONEBIT_TILE_ROWS 6
#define ONEBIT_TILE_VECTORS 2
#define ONEBIT_TABLE kAvx2Kernels
#include "training/kernels.inl"
#endif
