// Which instruction sets the kernels may use on this machine, found once at load.
#pragma once

namespace onebit {

enum class Isa { kPortable = 0, kNeon = 1, kAvx2 = 2, kAvx512 = 3 };

// The best set that this CPU has and that the kernels have code for. AVX-512 means F, BW, DQ, VL,
// VNNI and VBMI together; AVX2 means AVX2, FMA and F16C. The environment variable
// ONEBIT_CPU=avx512|avx2|neon|portable lowers the choice (never raises it), for tests.
Isa SelectedIsa();

const char* IsaName(Isa isa);

}  // namespace onebit
