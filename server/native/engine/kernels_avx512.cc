// Kernels for AVX-512 with VNNI and VBMI. Sign words have 16 bits (16 columns of one row), 32 rows
// side by side, and three look-ups of all 32 rows at once serve a word: vpermw with its lowest 5 bits
// in a table of one register (32 entries of 16 bits), the same with the next 5, and vpermi2w with the
// last 6 in a table of two. All three ignore higher bits of the index, so that shifts do for masks.
#include <immintrin.h>

#include "engine/float_kernels.h"
#include "engine/kernels.h"
#include "engine/simd_avx512.h"

namespace onebit {
namespace {

// Adds pairs of 16-bit numbers times `pick` to 32-bit sums. gcc 12 copies the accumulator around the
// intrinsic (two moves and a spill), so that the instruction is written out where that is possible.
inline __m512i AddPicked(__m512i sum, __m512i pairs, __m512i pick) {
#if defined(__GNUC__)
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(pairs), "vm"(pick));
  return sum;
#else
  return _mm512_dpwssd_epi32(sum, pairs, pick);
#endif
}

// Sign patterns of the 16 entries: element b of pattern j is −1 where bit j of b is set, else +1.
struct Patterns {
  __m512 of[4];
  Patterns() {
    for (int j = 0; j < 4; j++) {
      alignas(64) float signs[16];
      for (int b = 0; b < 16; b++) signs[b] = (b >> j & 1) != 0 ? -1.0f : 1.0f;
      of[j] = _mm512_load_ps(signs);
    }
  }
};

inline __m512 SignedSums(const Patterns& pattern, const float* inputs) {
  __m512 sums = _mm512_mul_ps(_mm512_set1_ps(inputs[0]), pattern.of[0]);
  sums = _mm512_fmadd_ps(_mm512_set1_ps(inputs[1]), pattern.of[1], sums);
  sums = _mm512_fmadd_ps(_mm512_set1_ps(inputs[2]), pattern.of[2], sums);
  return _mm512_fmadd_ps(_mm512_set1_ps(inputs[3]), pattern.of[3], sums);
}

// x·g of one column block, with zeros up to a multiple of 16. Returns the number of columns so padded.
inline int Products(const float* x, const float* g, int columns, float* products) {
  int c = 0;
  for (; c + 16 <= columns; c += 16) {
    _mm512_store_ps(products + c, _mm512_mul_ps(_mm512_loadu_ps(x + c), _mm512_loadu_ps(g + c)));
  }
  if (c < columns) {
    const __mmask16 rest = static_cast<__mmask16>((1u << (columns - c)) - 1u);
    _mm512_store_ps(products + c, _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, x + c), _mm512_maskz_loadu_ps(rest, g + c)));
    c += 16;
  }
  return c;
}

// The 32 signed sums of 5 inputs: entry b has −input[j] where bit j of b is set.
inline __m512i SignedSums5(const int16_t* input) {
  __m512i sums = _mm512_set1_epi16(static_cast<int16_t>(input[0] + input[1] + input[2] + input[3] + input[4]));
  const auto flip = [&](__mmask32 entries, int j) {
    const __m512i twice = _mm512_set1_epi16(static_cast<int16_t>(2 * input[j]));
    sums = _mm512_mask_sub_epi16(sums, entries, sums, twice);
  };
  flip(0xaaaaaaaau, 0);
  flip(0xccccccccu, 1);
  flip(0xf0f0f0f0u, 2);
  flip(0xff00ff00u, 3);
  flip(0xffff0000u, 4);
  return sums;
}

void MakeTable(const float* x, const float* g, int columns, void* table, float* scale) {
  alignas(64) float inputs[kColumnBlock];
  alignas(64) int16_t quantized[kColumnBlock];
  const int padded = Products(x, g, columns, inputs);
  float most = 0.0f;
  for (int c = 0; c < padded; c += kSpanColumns) {
    const int end = c + kSpanColumns < padded ? c + kSpanColumns : padded;
    __m512 sums = _mm512_setzero_ps();
    for (int k = c; k < end; k += 16) sums = _mm512_add_ps(sums, _mm512_abs_ps(_mm512_load_ps(inputs + k)));
    const float sum = _mm512_reduce_add_ps(sums);
    most = sum > most ? sum : most;
  }
  *scale = most / kSpanMost;
  const __m512 inverse = _mm512_set1_ps(most > 0.0f ? kSpanMost / most : 0.0f);
  for (int c = 0; c < padded; c += 16) {
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(inputs + c), inverse));
    _mm256_store_si256(reinterpret_cast<__m256i*>(quantized + c), _mm512_cvtepi32_epi16(rounded));
  }
  auto* out = static_cast<__m512i*>(table);
  for (int c = 0; c < padded; c += 16, out += 4) {
    _mm512_storeu_si512(out, SignedSums5(quantized + c));
    _mm512_storeu_si512(out + 1, SignedSums5(quantized + c + 5));
    const __m512i sums = SignedSums5(quantized + c + 10);
    const __m512i last = _mm512_set1_epi16(quantized[c + 15]);
    _mm512_storeu_si512(out + 2, _mm512_add_epi16(sums, last));
    _mm512_storeu_si512(out + 3, _mm512_sub_epi16(sums, last));
  }
}

void MakeExactTable(const float* x, const float* g, int columns, void* table, float* scale) {
  alignas(64) float inputs[kColumnBlock];
  const int padded = Products(x, g, columns, inputs);
  const Patterns pattern;
  auto* out = static_cast<float*>(table);
  for (int c = 0; c < padded; c += 4, out += 16) _mm512_storeu_ps(out, SignedSums(pattern, inputs + c));
  *scale = 1.0f;
}

// Entries of a table of two registers. As an instruction, so that the index is overwritten, not a table.
inline __m512i LookUp6(__m512i index, __m512i low, __m512i high) {
#if defined(__GNUC__)
  asm("vpermi2w %2, %1, %0" : "+v"(index) : "v"(low), "v"(high));
  return index;
#else
  return _mm512_permutex2var_epi16(low, index, high);
#endif
}

// G groups of 32 rows, T tokens: 16-bit sums of 64 columns, widened to 32 bits by even and odd rows. The signs
// are read from end to end without prefetches of ours: these halve what the hardware's own bring.
template <int G, int T>
inline void SignTile(const uint8_t* words, int columns, const char* tables, int64_t table_stride, const float* scales,
                     float* y, int64_t y_stride, bool accumulate) {
  const __m512i pick_even = _mm512_set1_epi32(1);
  const __m512i pick_odd = _mm512_set1_epi32(0x10000);
  __m512i even[T][G], odd[T][G];
  ONEBIT_UNROLL for (int t = 0; t < T; t++) ONEBIT_UNROLL for (int i = 0; i < G; i++) {
    even[t][i] = odd[t][i] = _mm512_setzero_si512();
  }
  for (int c = 0; c < columns; c += kSpanColumns) {
    const int end = c + kSpanColumns < columns ? c + kSpanColumns : columns;
    __m512i sum[T][G];
    ONEBIT_UNROLL for (int t = 0; t < T; t++) ONEBIT_UNROLL for (int i = 0; i < G; i++) sum[t][i] = _mm512_setzero_si512();
    for (int k = c; k < end; k += 16, words += 64 * G) {
      __m512i signs[G];
      ONEBIT_UNROLL for (int i = 0; i < G; i++) signs[i] = _mm512_loadu_si512(words + 64 * i);
      const char* entries = tables + 16 * k;
      ONEBIT_UNROLL for (int part = 0; part < 2; part++) {
        ONEBIT_UNROLL for (int t = 0; t < T; t++) {
          const __m512i table = _mm512_loadu_si512(entries + t * table_stride + 64 * part);
          ONEBIT_UNROLL for (int i = 0; i < G; i++) {
            sum[t][i] = _mm512_add_epi16(sum[t][i], _mm512_permutexvar_epi16(signs[i], table));
          }
        }
        ONEBIT_UNROLL for (int i = 0; i < G; i++) signs[i] = _mm512_srli_epi16(signs[i], 5);
      }
      ONEBIT_UNROLL for (int t = 0; t < T; t++) {
        const __m512i low = _mm512_loadu_si512(entries + t * table_stride + 128);
        const __m512i high = _mm512_loadu_si512(entries + t * table_stride + 192);
        ONEBIT_UNROLL for (int i = 0; i < G; i++) {
          sum[t][i] = _mm512_add_epi16(sum[t][i], LookUp6(signs[i], low, high));
        }
      }
    }
    ONEBIT_UNROLL for (int t = 0; t < T; t++) ONEBIT_UNROLL for (int i = 0; i < G; i++) {
      even[t][i] = AddPicked(even[t][i], sum[t][i], pick_even);
      odd[t][i] = AddPicked(odd[t][i], sum[t][i], pick_odd);
    }
  }
  const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  ONEBIT_UNROLL for (int t = 0; t < T; t++) {
    const __m512 scale = _mm512_set1_ps(scales[t]);
    ONEBIT_UNROLL for (int i = 0; i < G; i++) {
      float* out = y + t * y_stride + kSignLanes * i;
      const __m512i a = _mm512_permutex2var_epi32(even[t][i], first, odd[t][i]);
      const __m512i b = _mm512_permutex2var_epi32(even[t][i], second, odd[t][i]);
      const __m512 before_a = accumulate ? _mm512_loadu_ps(out) : _mm512_setzero_ps();
      const __m512 before_b = accumulate ? _mm512_loadu_ps(out + 16) : _mm512_setzero_ps();
      _mm512_storeu_ps(out, _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(a), before_a));
      _mm512_storeu_ps(out + 16, _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(b), before_b));
    }
  }
}

// The exact product: f32 tables of one register, vpermps for 16 rows at once.
template <int G, int T>
inline void ExactTile(const uint8_t* words, int columns, const char* tables, int64_t table_stride, const float*,
                      float* y, int64_t y_stride, bool accumulate) {
  __m512 sum[T][2 * G];
  ONEBIT_UNROLL for (int t = 0; t < T; t++) ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) sum[t][i] = _mm512_setzero_ps();
  for (int k = 0; k < columns; k += 16, words += 64 * G) {
    __m512i signs[2 * G];
    ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) {
      signs[i] = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + 32 * i)));
    }
    ONEBIT_UNROLL for (int nibble = 0; nibble < 4; nibble++) {
      ONEBIT_UNROLL for (int t = 0; t < T; t++) {
        const __m512 table = _mm512_loadu_ps(tables + t * table_stride + 16 * k + 64 * nibble);
        ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) {
          sum[t][i] = _mm512_add_ps(sum[t][i], _mm512_permutexvar_ps(signs[i], table));
        }
      }
      if (nibble < 3) ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) signs[i] = _mm512_srli_epi32(signs[i], 4);
    }
  }
  ONEBIT_UNROLL for (int t = 0; t < T; t++) ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) {
    float* out = y + t * y_stride + 16 * i;
    _mm512_storeu_ps(out, accumulate ? _mm512_add_ps(_mm512_loadu_ps(out), sum[t][i]) : sum[t][i]);
  }
}

template <int G, int T>
struct Default {
  static constexpr auto kTile = SignTile<G, T>;
};
template <int G, int T>
struct Exact {
  static constexpr auto kTile = ExactTile<G, T>;
};

template <template <int, int> class Kind, int G>
void Tokens(const void* words, int columns, const void* tables, int64_t table_stride, const float* scales, int tokens,
            float* y, int64_t y_stride, bool accumulate) {
  const auto* w = static_cast<const uint8_t*>(words);
  const auto* table = static_cast<const char*>(tables);
  if (tokens == 1) Kind<G, 1>::kTile(w, columns, table, table_stride, scales, y, y_stride, accumulate);
  else Kind<G, 2>::kTile(w, columns, table, table_stride, scales, y, y_stride, accumulate);
}

template <template <int, int> class Kind>
void Block(const void* words, int groups, int columns, const void* tables, int64_t table_stride, const float* scales,
           int tokens, float* y, int64_t y_stride, bool accumulate) {
  switch (groups) {
    case 1: return Tokens<Kind, 1>(words, columns, tables, table_stride, scales, tokens, y, y_stride, accumulate);
    case 2: return Tokens<Kind, 2>(words, columns, tables, table_stride, scales, tokens, y, y_stride, accumulate);
    case 3: return Tokens<Kind, 3>(words, columns, tables, table_stride, scales, tokens, y, y_stride, accumulate);
    default: return Tokens<Kind, 4>(words, columns, tables, table_stride, scales, tokens, y, y_stride, accumulate);
  }
}

Kernels Make() {
  Kernels table{};
  FloatKernels<Avx512Simd>::Fill(table);
  table.sign_word_bytes = 2;
  table.sign_block_groups = 4;
  table.table_bytes[kDefault] = 256;
  table.make_table[kDefault] = MakeTable;
  table.sign_block[kDefault] = Block<Default>;
  table.table_bytes[kExact] = 256;
  table.make_table[kExact] = MakeExactTable;
  table.sign_block[kExact] = Block<Exact>;
  return table;
}

}  // namespace

const Kernels& Avx512Kernels() {
  static const Kernels table = Make();
  return table;
}

}  // namespace onebit
