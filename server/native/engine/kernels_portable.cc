// Kernels in plain C++, for any CPU.
#include "engine/float_kernels.h"
#include "engine/kernels.h"
#include "engine/sign_kernels_bytes.h"
#include "engine/simd_portable.h"

namespace onebit {
namespace {

// Tables of 16 entries of 16 bits.
void MakeTable(const float* x, const float* g, int columns, void* table, float* scale) {
  int quantized[kColumnBlock];
  *scale = QuantizeBlock(x, g, columns, quantized);
  auto* out = static_cast<int16_t*>(table);
  for (int c = 0; c < columns; c += 4, out += 16) {
    int entries[16];
    SignedSums(quantized + c, entries);
    for (int b = 0; b < 16; b++) out[b] = static_cast<int16_t>(entries[b]);
  }
}

void SignBlock(const void* words, int groups, int columns, const void* tables, int64_t table_stride,
               const float* scales, int tokens, float* y, int64_t y_stride, bool accumulate) {
  for (int group = 0; group < groups; group++) {
    for (int t = 0; t < tokens; t++) {
      const int16_t* table = reinterpret_cast<const int16_t*>(static_cast<const char*>(tables) + t * table_stride);
      int sum[kSignLanes] = {};
      for (int c = 0; c < columns; c += 8) {
        const uint8_t* lanes = static_cast<const uint8_t*>(words) + (static_cast<int64_t>(c / 8) * groups + group) * kSignLanes;
        const int16_t* low = table + 4 * c;
        const int16_t* high = low + 16;
        for (int lane = 0; lane < kSignLanes; lane++) sum[lane] += low[lanes[lane] & 15] + high[lanes[lane] >> 4];
      }
      float* out = y + t * y_stride + group * kSignLanes;
      for (int lane = 0; lane < kSignLanes; lane++) {
        const float value = scales[t] * static_cast<float>(sum[lane]);
        out[lane] = accumulate ? out[lane] + value : value;
      }
    }
  }
}

}  // namespace

const Kernels& PortableKernels() {
  static const Kernels table = ByteWordKernels<PortableSimd>(MakeTable, SignBlock, FloatSignBlock);
  return table;
}

}  // namespace onebit
