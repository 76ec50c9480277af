// Kernels for AVX-512 with VNNI and VBMI. Sign words have 32 bits (32 columns of one row), 16 rows in a
// register; the two nibbles of a byte choose from the tables of 8 columns.
#include <immintrin.h>

#include "engine/float_kernels.h"
#include "engine/kernels.h"
#include "engine/simd_avx512.h"

namespace onebit {
namespace {

// Tokens that go through the signs at once.
constexpr int kTokenTile = 4;

// Columns of a sign word, and the bytes of their tables: those of columns 8j to 8j + 3 stand at 16·j of the first
// register, those of columns 8j + 4 to 8j + 7 at 16·j of the second.
constexpr int kWordColumns = 32;
constexpr int kWordTable = 128;

// The entries have 8 bits, and every table a weight from 1 to kMost: its entries count that many units of the
// column block's scale. An outlier so costs precision in its table only.
constexpr int kMost = 127;
constexpr int kEntryOffset = 128;  // entries are stored without a sign

// What stands before the tables of a column block.
struct alignas(64) TableHeader {
  uint8_t weights[kColumnBlock / 4];  // of each table, in the order of the tables
  int32_t start;                      // what takes kEntryOffset out of the sums again
};

// Adds 4 look-ups of every row times their tables' weights to 32-bit sums. gcc 12 copies the accumulator around
// the intrinsic (two moves and a spill), so that the instruction is written out where that is possible.
inline __m512i AddEntries(__m512i sum, __m512i entries, const int32_t* weights) {
#if defined(__GNUC__)
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(entries), "m"(*weights));
  return sum;
#else
  return _mm512_dpbusd_epi32(sum, entries, _mm512_set1_epi32(*weights));
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

// x·g of one column block, with zeros up to whole words. Returns the number of columns so padded.
inline int Products(const float* x, const float* g, int columns, float* products) {
  const int padded = (columns + kWordColumns - 1) / kWordColumns * kWordColumns;
  for (int c = 0; c < padded; c += 16) {
    const int n = columns - c;
    const __mmask16 some = n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1u);
    _mm512_store_ps(products + c, _mm512_mul_ps(_mm512_maskz_loadu_ps(some, x + c), _mm512_maskz_loadu_ps(some, g + c)));
  }
  return padded;
}

// Σ |inputs| of each 4 of 16 columns, in all four of their places.
inline __m512 QuadSums(const float* inputs) {
  const __m512 size = _mm512_abs_ps(_mm512_load_ps(inputs));
  const __m512 pairs = _mm512_add_ps(size, _mm512_permute_ps(size, 0xb1));
  return _mm512_add_ps(pairs, _mm512_permute_ps(pairs, 0x4e));
}

// Adds inputs[0] times the even and inputs[1] times the odd of 16-bit factors to 32-bit sums (as AddEntries).
inline __m512i AddInputs(__m512i sum, __m512i factors, const int16_t* inputs) {
  const auto* pair = reinterpret_cast<const int32_t*>(inputs);
#if defined(__GNUC__)
  asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(factors), "m"(*pair));
  return sum;
#else
  return _mm512_dpwssd_epi32(sum, factors, _mm512_set1_epi32(*pair));
#endif
}

// Entries are summed from inputs in 1/128 of their unit and then rounded.
void MakeTable(const float* x, const float* g, int columns, void* table, float* scale) {
  constexpr int kFraction = 8;
  alignas(64) float inputs[kColumnBlock];
  const int padded = Products(x, g, columns, inputs);
  __m512 largest_of = _mm512_setzero_ps();
  for (int c = 0; c < padded; c += 16) largest_of = _mm512_max_ps(largest_of, QuadSums(inputs + c));
  const float largest = _mm512_reduce_max_ps(largest_of);
  *scale = largest / (static_cast<float>(kMost) * kMost);
  const float inverse = largest > 0.0f ? static_cast<float>(kMost) * kMost / largest : 0.0f;

  // Signs of inputs 0 and 1 (low and high half), and of 2 and 3, in the 16 entries: −1 where the entry's bit is set.
  constexpr int kBoth = 0x00010001, kNotFirst = 0x0001ffff, kNotSecond = static_cast<int>(0xffff0001u), kNone = -1;
  const __m512i pairs[2] = {_mm512_broadcast_i32x4(_mm_setr_epi32(kBoth, kNotFirst, kNotSecond, kNone)),
                            _mm512_setr_epi32(kBoth, kBoth, kBoth, kBoth, kNotFirst, kNotFirst, kNotFirst, kNotFirst,
                                              kNotSecond, kNotSecond, kNotSecond, kNotSecond, kNone, kNone, kNone, kNone)};
  const __m512i start = _mm512_set1_epi32((kEntryOffset << kFraction) + (1 << (kFraction - 1)));
  const __m512i by_table = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i even_then_odd = _mm512_setr_epi32(0, 8, 16, 24, 4, 12, 20, 28, 0, 0, 0, 0, 0, 0, 0, 0);
  auto* header = static_cast<TableHeader*>(table);
  auto* entries = static_cast<uint8_t*>(table) + sizeof(TableHeader);
  __m256i weights = _mm256_setzero_si256();
  for (int c = 0; c < padded; c += kWordColumns, entries += kWordTable) {
    alignas(64) int16_t whole[kWordColumns];
    __m512i weight[2];
    for (int half = 0; half < 2; half++) {
      // The smallest whole weight at which no entry is larger than kMost.
      const float* of_half = inputs + c + 16 * half;
      const __m512 needed = _mm512_mul_ps(QuadSums(of_half), _mm512_set1_ps(inverse / kMost));
      const __m512 up = _mm512_roundscale_ps(needed, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
      const __m512 taken = _mm512_min_ps(_mm512_max_ps(up, _mm512_set1_ps(1.0f)), _mm512_set1_ps(kMost));
      const __m512 units = _mm512_div_ps(_mm512_set1_ps(inverse * (1 << kFraction)), taken);
      const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(of_half), units));
      _mm256_store_si256(reinterpret_cast<__m256i*>(whole + 16 * half), _mm512_cvtepi32_epi16(rounded));
      weight[half] = _mm512_cvtps_epi32(taken);
    }
    const __m256i ordered = _mm512_castsi512_si256(_mm512_permutex2var_epi32(weight[0], even_then_odd, weight[1]));
    weights = _mm256_add_epi32(weights, ordered);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(header->weights + c / 4), _mm256_cvtepi32_epi8(ordered));
    ONEBIT_UNROLL for (int odd = 0; odd < 2; odd++) {
      __m512i sums[4];
      ONEBIT_UNROLL for (int j = 0; j < 4; j++) {
        const int16_t* quad = whole + 8 * j + 4 * odd;
        sums[j] = _mm512_srai_epi32(AddInputs(AddInputs(start, pairs[0], quad), pairs[1], quad + 2), kFraction);
      }
      const __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(sums[0], sums[1]), _mm512_packs_epi32(sums[2], sums[3]));
      _mm512_store_si512(entries + 64 * odd, _mm512_permutexvar_epi32(by_table, bytes));
    }
  }
  const __m128i halves = _mm_add_epi32(_mm256_castsi256_si128(weights), _mm256_extracti128_si256(weights, 1));
  const __m128i quarters = _mm_add_epi32(halves, _mm_shuffle_epi32(halves, 0x4e));
  header->start = -kEntryOffset * (_mm_cvtsi128_si32(quarters) + _mm_extract_epi32(quarters, 1));
}

void MakeExactTable(const float* x, const float* g, int columns, void* table, float* scale) {
  alignas(64) float inputs[kColumnBlock];
  const int padded = Products(x, g, columns, inputs);
  const Patterns pattern;
  auto* out = static_cast<float*>(table);
  for (int c = 0; c < padded; c += 4, out += 16) _mm512_storeu_ps(out, SignedSums(pattern, inputs + c));
  *scale = 1.0f;
}

// G groups of 32 rows, T tokens. The signs are read from end to end without prefetches of ours: these halve
// what the hardware's own bring.
template <int G, int T>
inline void SignTile(const uint8_t* words, int columns, const char* tables, int64_t table_stride, const float* scales,
                     float* y, int64_t y_stride, bool accumulate) {
  const __m512i nibble = _mm512_set1_epi32(0x0f0f0f0f);
  const __m512i tables_of_bytes = _mm512_set1_epi32(0x30201000);
  __m512i sum[T][2 * G];
  ONEBIT_UNROLL for (int t = 0; t < T; t++) {
    const auto* header = reinterpret_cast<const TableHeader*>(tables + t * table_stride);
    ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) sum[t][i] = _mm512_set1_epi32(header->start);
  }
  const char* table = tables + sizeof(TableHeader);
  const char* weights = tables;
  for (int k = 0; k < columns; k += kWordColumns, words += 128 * G, table += kWordTable, weights += 8) {
    __m512i low[T], high[T];
    ONEBIT_UNROLL for (int t = 0; t < T; t++) {
      low[t] = _mm512_load_si512(table + t * table_stride);
      high[t] = _mm512_load_si512(table + t * table_stride + 64);
    }
    ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) {
      const __m512i signs = _mm512_loadu_si512(words + 64 * i);
      // Index of a byte: its table, then 4 signs: (signs & 15) | table.
      const __m512i first = _mm512_ternarylogic_epi32(signs, nibble, tables_of_bytes, 0xea);
      const __m512i second = _mm512_ternarylogic_epi32(_mm512_srli_epi32(signs, 4), nibble, tables_of_bytes, 0xea);
      ONEBIT_UNROLL for (int t = 0; t < T; t++) {
        const auto* of_word = reinterpret_cast<const int32_t*>(weights + t * table_stride);
        sum[t][i] = AddEntries(sum[t][i], _mm512_permutexvar_epi8(first, low[t]), of_word);
        sum[t][i] = AddEntries(sum[t][i], _mm512_permutexvar_epi8(second, high[t]), of_word + 1);
      }
    }
  }
  ONEBIT_UNROLL for (int t = 0; t < T; t++) {
    const __m512 scale = _mm512_set1_ps(scales[t]);
    ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) {
      float* out = y + t * y_stride + 16 * i;
      const __m512 before = accumulate ? _mm512_loadu_ps(out) : _mm512_setzero_ps();
      _mm512_storeu_ps(out, _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(sum[t][i]), before));
    }
  }
}

// The exact product: f32 tables of one register, vpermps for 16 rows at once.
template <int G, int T>
inline void ExactTile(const uint8_t* words, int columns, const char* tables, int64_t table_stride, const float*,
                      float* y, int64_t y_stride, bool accumulate) {
  __m512 sum[T][2 * G];
  ONEBIT_UNROLL for (int t = 0; t < T; t++) ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) sum[t][i] = _mm512_setzero_ps();
  for (int k = 0; k < columns; k += kWordColumns, words += 128 * G) {
    __m512i signs[2 * G];
    ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) signs[i] = _mm512_loadu_si512(words + 64 * i);
    ONEBIT_UNROLL for (int quad = 0; quad < kWordColumns / 4; quad++) {
      ONEBIT_UNROLL for (int t = 0; t < T; t++) {
        const __m512 table = _mm512_loadu_ps(tables + t * table_stride + 16 * k + 64 * quad);
        ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) {
          sum[t][i] = _mm512_add_ps(sum[t][i], _mm512_permutexvar_ps(signs[i], table));
        }
      }
      if (quad < 7) ONEBIT_UNROLL for (int i = 0; i < 2 * G; i++) signs[i] = _mm512_srli_epi32(signs[i], 4);
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
  const auto multiply = [&](auto tile, int t) {
    tile(w, columns, table + t * table_stride, table_stride, scales + t, y + t * y_stride, y_stride, accumulate);
  };
  if (tokens == kTokenTile) return multiply(Kind<G, kTokenTile>::kTile, 0);
  int t = 0;
  for (; t + 2 <= tokens; t += 2) multiply(Kind<G, 2>::kTile, t);
  if (t < tokens) multiply(Kind<G, 1>::kTile, t);
}

template <template <int, int> class Kind>
void Block(const void* words, int groups, int columns, const void* tables, int64_t table_stride, const float* scales,
           int tokens, float* y, int64_t y_stride, bool accumulate) {
  const auto multiply = groups == 1 ? Tokens<Kind, 1> : Tokens<Kind, 2>;
  multiply(words, columns, tables, table_stride, scales, tokens, y, y_stride, accumulate);
}

Kernels Make() {
  Kernels table{};
  FloatKernels<Avx512Simd>::Fill(table);
  table.sign_word_bytes = 4;
  table.sign_block_groups = 2;
  table.token_tile = kTokenTile;
  table.table_bytes[kDefault] = kWordTable;
  table.table_header_bytes[kDefault] = sizeof(TableHeader);
  table.make_table[kDefault] = MakeTable;
  table.sign_block[kDefault] = Block<Default>;
  table.table_bytes[kExact] = 512;
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
