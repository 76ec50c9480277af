// The inner loops of the engine, one table of them for each instruction set. None allocates.
#pragma once

#include <cstdint>

#include "cpu_features.h"

namespace onebit {

// A 1-bit product goes through look-up tables: for every few columns a table holds all possible signed
// sums of their inputs, and a row's sign bits choose one. Tables are made and summed for blocks of this
// many columns, each with a scale of its own, so that an outlier in the input costs precision only in
// its block. The tables of a block take at most 8 KB a token: they stay in the L1 cache while the signs
// of many rows stream past them.
constexpr int kColumnBlock = 512;
// Where entries are summed in 16 bits: those of this many columns, before they are widened. The scale of
// a block is the finest at which no choice of signs can overflow: that of the span with the largest
// Σ |x·g|, with room for the rounding of each column.
constexpr int kSpanColumns = 64;
constexpr float kSpanMost = 32767.0f - 0.5f * kSpanColumns;
// Tables are made for a multiple of this many columns: what the widest sign word holds.
constexpr int kTableColumns = 32;
// Signs are stored for 32 rows side by side; see sign_matrix.h.
constexpr int kSignLanes = 32;

// Columns of a float product that are summed together: many tokens keep their inputs in the cache.
constexpr int kFloatColumns = 1024;
// Rows and columns that lie together in an 8-bit matrix; see byte_matrix.h.
constexpr int kByteRows = 4;
constexpr int kByteColumns = 16;
// Positions whose keys lie side by side in a cache.
constexpr int kKeyLanes = 16;

enum class FloatType { kF32 = 0, kF16 = 1, kBf16 = 2 };

struct Kernels {
  // --- 1-bit products ---
  // Bytes of a stored sign word (8 or 32 columns of one row) and the most groups of 32 rows a block has.
  int sign_word_bytes;
  int sign_block_groups;
  // Tokens that a 1-bit product takes at once: as many as have their tables in the L1 cache together.
  int token_tile;
  // Bytes of the tables of kTableColumns columns, bytes before the tables of a column block, and how to make
  // them: `columns` (a multiple of 8, at most kColumnBlock) products x·g; columns missing to a multiple of
  // kTableColumns count as zeros. Default: integers, *scale times which is the sum. Exact: f32 sums, and
  // *scale is 1.
  int table_bytes[2];
  int table_header_bytes[2];
  void (*make_table[2])(const float* x, const float* g, int columns, void* table, float* scale);
  // One block of `groups`·32 rows times one column block: for each token t
  //   y[t·y_stride + row] (+)= scales[t] · Σ_columns ±(x·g), with token t's tables at t·table_stride bytes.
  // At most token_tile tokens.
  void (*sign_block[2])(const void* words, int groups, int columns, const void* tables, int64_t table_stride,
                        const float* scales, int tokens, float* y, int64_t y_stride, bool accumulate);

  // --- float products, by FloatType ---
  // Sums of kFloatColumns columns at a time; at most so many columns a call where there are several tokens.
  // y[t][row] (+)= Σ_columns w[row·w_stride + column] · x[t·x_stride + column], a row at a time for one token
  void (*float_rows[3])(const void* w, int64_t w_stride, int rows, int columns, const float* x,
                        int64_t x_stride, int tokens, float* const* y, bool accumulate);
  // 8-bit products: y[t][row] = scales[row] · Σ_columns w[row, column] · x[t·x_stride + column] of `rows` rows from a
  // whole group on. x is readable, and finite, up to a multiple of kByteColumns.
  void (*byte_rows)(const int8_t* w, const float* scales, int rows, int columns, const float* x, int64_t x_stride,
                    int tokens, float* const* y);
  // y = w as f32.
  void (*widen[3])(const void* w, int64_t n, float* y);

  // --- after the head ---
  // The `count` largest of n logits, largest first and of equals the lower id first, and ln Σ exp(logit).
  void (*top)(const float* logits, int n, int count, int32_t* ids, float* values, float* log_sum_exp);

  // --- between the products ---
  // y = x ⊙ gain / sqrt(mean(x²) + eps)
  void (*rms_norm)(const float* x, const float* gain, int n, float eps, float* y);
  // What follows a 1-bit product: y = LayerNorm(y ⊙ h) (+ bias unless null), eps inside the root.
  void (*finish_signs)(float* y, const float* h, const float* bias, int n, float eps);
  void (*add)(float* x, const float* y, int n);
  // gate = silu(gate) ⊙ up
  void (*swiglu)(float* gate, const float* up, int n);
  // Turns the pairs (x[i], x[i + dim/2]) of every head; cos and sin have dim/2 elements.
  void (*rope)(float* x, const float* cos, const float* sin, int heads, int dim);
  // One position's key or value of `dim` floats into a head's cache of f32 (0) or fp16 (1). Values lie as
  // [position][dim], keys as [kKeyLanes positions][dim][kKeyLanes]: the scores of neighbours are summed side by side.
  void (*store_key[2])(const float* x, int dim, int position, void* keys);
  void (*store_value[2])(const float* x, int dim, int position, void* values);
  // Causal attention of `heads` heads of one row that share keys and values: out = softmax(scale · q Kᵀ) V over
  // `positions` rows, q and out [heads, dim], the cache f32 (0) or fp16 (1). `scores` is scratch of `heads` rows
  // of score_stride floats, a multiple of kKeyLanes that holds all positions.
  void (*attend[2])(const float* q, int heads, const void* keys, const void* values, int positions, int dim,
                    float scale, float* scores, int64_t score_stride, float* out);
};

// Index into the [2] tables above.
enum Precision { kDefault = 0, kExact = 1 };

const Kernels& PortableKernels();
const Kernels& NeonKernels();
const Kernels& Avx2Kernels();
const Kernels& Avx512Kernels();
const Kernels& WasmKernels();

// Those of SelectedIsa().
const Kernels& SelectedKernels();

}  // namespace onebit
