// Kernels for WebAssembly with 128-bit SIMD.
#if defined(__wasm_simd128__)

#include <wasm_simd128.h>

#include "engine/float_kernels.h"
#include "engine/kernels.h"
#include "engine/sign_kernels_bytes.h"
#include "engine/simd_wasm.h"

namespace onebit {
namespace {

// Looks 16 nibbles up in a plane table and adds the 16-bit entries of 16 rows.
inline void AddEntries(v128_t nibbles, v128_t low_plane, v128_t high_plane, v128_t* sum) {
  const v128_t low = wasm_i8x16_swizzle(low_plane, nibbles);
  const v128_t high = wasm_i8x16_swizzle(high_plane, nibbles);
  sum[0] = wasm_i16x8_add(sum[0], wasm_i8x16_shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  sum[1] = wasm_i16x8_add(sum[1], wasm_i8x16_shuffle(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
}

void SignBlock(const void* words, int, int columns, const void* tables, int64_t table_stride, const float* scales,
               int tokens, float* y, int64_t y_stride, bool accumulate) {
  const v128_t nibble = wasm_i8x16_const_splat(15);
  for (int t = 0; t < tokens; t++) {
    const uint8_t* table = static_cast<const uint8_t*>(tables) + t * table_stride;
    v128_t wide[8];
    for (int i = 0; i < 8; i++) wide[i] = wasm_i32x4_const_splat(0);
    for (int c = 0; c < columns; c += kSpanColumns) {
      const int end = c + kSpanColumns < columns ? c + kSpanColumns : columns;
      v128_t sum[4];
      for (int i = 0; i < 4; i++) sum[i] = wasm_i16x8_const_splat(0);
      for (int k = c; k < end; k += 8) {
        const uint8_t* p = static_cast<const uint8_t*>(words) + 4 * k;
        const v128_t signs[2] = {wasm_v128_load(p), wasm_v128_load(p + 16)};
        const uint8_t* planes = table + 8 * k;
        const v128_t low = wasm_v128_load(planes), high = wasm_v128_load(planes + 16);
        const v128_t next_low = wasm_v128_load(planes + 32), next_high = wasm_v128_load(planes + 48);
        for (int half = 0; half < 2; half++) {
          AddEntries(wasm_v128_and(signs[half], nibble), low, high, sum + 2 * half);
          AddEntries(wasm_u8x16_shr(signs[half], 4), next_low, next_high, sum + 2 * half);
        }
      }
      for (int i = 0; i < 4; i++) {
        wide[2 * i] = wasm_i32x4_add(wide[2 * i], wasm_i32x4_extend_low_i16x8(sum[i]));
        wide[2 * i + 1] = wasm_i32x4_add(wide[2 * i + 1], wasm_i32x4_extend_high_i16x8(sum[i]));
      }
    }
    const v128_t scale = wasm_f32x4_splat(scales[t]);
    for (int i = 0; i < 8; i++) {
      float* out = y + t * y_stride + 4 * i;
      const v128_t before = accumulate ? wasm_v128_load(out) : wasm_f32x4_const_splat(0.0f);
      wasm_v128_store(out, wasm_f32x4_add(before, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wide[i]), scale)));
    }
  }
}

}  // namespace

const Kernels& WasmKernels() {
  static const Kernels table = ByteWordKernels<WasmSimd>(MakePlaneTable, SignBlock, FloatSignBlock);
  return table;
}

}  // namespace onebit

#endif
