// Kernels for AArch64 NEON.
#if defined(__aarch64__) || defined(_M_ARM64)

#include <arm_neon.h>

#include "engine/float_kernels.h"
#include "engine/kernels.h"
#include "engine/sign_kernels_bytes.h"
#include "engine/simd_neon.h"

namespace onebit {
namespace {

// Looks 32 nibbles (16 in each half) up in a plane table and adds the 16-bit entries of rows 0-31.
inline void AddEntries(const uint8x16_t* nibbles, const uint8_t* table, int16x8_t* sum) {
  const uint8x16_t low_plane = vld1q_u8(table);
  const uint8x16_t high_plane = vld1q_u8(table + 16);
  for (int half = 0; half < 2; half++) {
    const uint8x16_t low = vqtbl1q_u8(low_plane, nibbles[half]);
    const uint8x16_t high = vqtbl1q_u8(high_plane, nibbles[half]);
    sum[2 * half] = vaddq_s16(sum[2 * half], vreinterpretq_s16_u8(vzip1q_u8(low, high)));
    sum[2 * half + 1] = vaddq_s16(sum[2 * half + 1], vreinterpretq_s16_u8(vzip2q_u8(low, high)));
  }
}

void SignBlock(const void* words, int, int columns, const void* tables, int64_t table_stride, const float* scales,
               int tokens, float* y, int64_t y_stride, bool accumulate) {
  const uint8x16_t nibble = vdupq_n_u8(15);
  for (int t = 0; t < tokens; t++) {
    const uint8_t* table = static_cast<const uint8_t*>(tables) + t * table_stride;
    int32x4_t wide[8];
    for (int i = 0; i < 8; i++) wide[i] = vdupq_n_s32(0);
    for (int c = 0; c < columns; c += kSpanColumns) {
      const int end = c + kSpanColumns < columns ? c + kSpanColumns : columns;
      int16x8_t sum[4];
      for (int i = 0; i < 4; i++) sum[i] = vdupq_n_s16(0);
      for (int k = c; k < end; k += 8) {
        const uint8_t* p = static_cast<const uint8_t*>(words) + 4 * k;
        const uint8x16_t signs[2] = {vld1q_u8(p), vld1q_u8(p + 16)};
        const uint8x16_t first[2] = {vandq_u8(signs[0], nibble), vandq_u8(signs[1], nibble)};
        const uint8x16_t second[2] = {vshrq_n_u8(signs[0], 4), vshrq_n_u8(signs[1], 4)};
        AddEntries(first, table + 8 * k, sum);
        AddEntries(second, table + 8 * k + 32, sum);
      }
      for (int i = 0; i < 4; i++) {
        wide[2 * i] = vaddw_s16(wide[2 * i], vget_low_s16(sum[i]));
        wide[2 * i + 1] = vaddw_s16(wide[2 * i + 1], vget_high_s16(sum[i]));
      }
    }
    for (int i = 0; i < 8; i++) {
      float* out = y + t * y_stride + 4 * i;
      const float32x4_t before = accumulate ? vld1q_f32(out) : vdupq_n_f32(0.0f);
      vst1q_f32(out, vfmaq_n_f32(before, vcvtq_f32_s32(wide[i]), scales[t]));
    }
  }
}

}  // namespace

const Kernels& NeonKernels() {
  static const Kernels table = ByteWordKernels<NeonSimd>(MakePlaneTable, SignBlock, FloatSignBlock);
  return table;
}

}  // namespace onebit

#endif
