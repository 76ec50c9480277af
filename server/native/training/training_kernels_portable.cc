// The baseline: SSE2 on x86 (16 registers), NEON on ARM (32). The vectors are the compiler's.
#define ONEBIT_LANES 4
#if defined(__aarch64__)
#define ONEBIT_TILE_ROWS 12
#else
#define ONEBIT_TILE_ROWS 6
#endif
#define ONEBIT_TILE_VECTORS 2
#define ONEBIT_TABLE kPortableKernels
#include "training/kernels.inl"
