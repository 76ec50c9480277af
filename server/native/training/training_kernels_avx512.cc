#if defined(__x86_64__)
// 14 x 2 accumulators, two vectors of B and a broadcast: 31 of the 32 registers.
#define ONEBIT_LANES 16
#define ONEBIT_TILE_ROWS 14
#define ONEBIT_TILE_VECTORS 2
#define ONEBIT_TABLE kAvx512Kernels
#include "training/kernels.inl"
#endif
