#include "training/attention.h"

#include <cmath>
#include <cstring>

#include "thread_pool.h"
#include "training/gemm.h"
#include "training/rope.h"
#include "training/scratch.h"

namespace onebit::training {
namespace {

constexpr int kTilesPerBlock = 2;  // rows of a block, in tiles: more would compute more of what is masked

// Floats between the rows of a block: rows at a power of two would fall into the same sets of the L1 cache, and an
// operand that is read transposed must be readable for a whole tile (at most 16 rows).
constexpr i64 kRowPadding = 16;

i64 RoundUp(i64 n, i64 unit) { return (n + unit - 1) / unit * unit; }

// C[rows, cols] (+)= A B with A read in place and B in panels [k_max, tile_cols]; all on this thread.
// `panel_rows` is the k for which the panels were packed.
struct PanelProduct {
  const Kernels& kernels;

  void operator()(i64 rows, i64 cols, i64 k, const float* a, i64 a_row, i64 a_step, const float* panels,
                  i64 panel_rows, float* c, i64 ldc, bool accumulate) const {
    const i64 height = kernels.tile_rows, width = kernels.tile_cols;
    for (i64 j = 0; j < cols; j += width)
      for (i64 i = 0; i < rows; i += height)
        kernels.tile(k, a + i * a_row, a_row, a_step, panels + j * panel_rows, width, c + i * ldc + j, ldc,
                     static_cast<int>(rows - i < height ? rows - i : height),
                     static_cast<int>(cols - j < width ? cols - j : width), accumulate);
  }
};

// Runs f(sequence, kv_head) for all of them. Which thread takes which does not change the result.
template <typename F>
void ForHeads(const AttentionShape& shape, F&& f) {
  ThreadPool::Shared().ForEach(static_cast<long>(shape.batch * shape.kv_heads),
                               [&](long task) { f(task / shape.kv_heads, task % shape.kv_heads); });
}

// Copies rows of a head into [rows, head_dim] that is readable (as zeros) up to `padded` rows.
void CopyRows(const float* from, i64 stride, i64 rows, i64 padded, i64 head_dim, float* to) {
  for (i64 r = 0; r < rows; r++) std::memcpy(to + r * head_dim, from + r * stride, head_dim * sizeof(float));
  std::memset(to + rows * head_dim, 0, (padded - rows) * head_dim * sizeof(float));
}

}  // namespace

void CausalAttention(AttentionShape shape, const float* q, const float* k, const float* v, float* y, float* log_sum,
                     float* turned_q, float* turned_k) {
  const Kernels& kernels = Selected();
  const PanelProduct product{kernels};
  const i64 window = shape.window, head_dim = shape.head_dim, group = shape.heads / shape.kv_heads;
  const i64 width = shape.heads * head_dim, kv_width = shape.kv_heads * head_dim, rows = shape.batch * window;
  const Angles angles = RopeAngles(window, head_dim, shape.frequencies);
  Rope(rows, width, window, head_dim, angles, false, q, turned_q);
  Rope(rows, kv_width, window, head_dim, angles, false, k, turned_k);

  const int block = kernels.tile_rows;
  const i64 padded_window = RoundUp(window, kernels.tile_cols), padded_dim = RoundUp(head_dim, kernels.tile_cols);
  const i64 row_stride = padded_window + kRowPadding;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  ForHeads(shape, [&](i64 sequence, i64 kv_head) {
    float* keys = Scratch(Slot::kAttentionKeys, static_cast<std::size_t>(head_dim * padded_window + window * padded_dim));
    float* values = keys + head_dim * padded_window;
    float* scores = Scratch(Slot::kAttentionRows, static_cast<std::size_t>(block) * (row_stride + head_dim));
    float* queries = scores + block * row_stride;
    const i64 first = sequence * window;
    PackColumns({turned_k + first * kv_width + kv_head * head_dim, kv_width, true}, 0, head_dim, 0, window, keys);
    PackColumns({v + first * kv_width + kv_head * head_dim, kv_width}, 0, window, 0, head_dim, values);
    for (i64 head = kv_head * group; head < (kv_head + 1) * group; head++) {
      for (i64 r0 = 0; r0 < window; r0 += block) {
        const i64 count = std::min<i64>(block, window - r0), seen = r0 + count;
        CopyRows(turned_q + (first + r0) * width + head * head_dim, width, count, block, head_dim, queries);
        product(count, seen, head_dim, queries, head_dim, 1, keys, head_dim, scores, row_stride, false);
        float inverse[64];
        for (i64 r = 0; r < count; r++) {
          float* row = scores + r * row_stride;
          const i64 visible = r0 + r + 1;
          const float highest = kernels.highest(row, visible) * scale;
          const float sum = kernels.exp_row(row, scale, highest, row, visible);
          std::memset(row + visible, 0, (seen - visible) * sizeof(float));
          inverse[r] = 1.0f / sum;
          log_sum[(first + r0 + r) * shape.heads + head] = highest + std::log(sum);
        }
        float* out = y + (first + r0) * width + head * head_dim;
        product(count, head_dim, seen, scores, row_stride, 1, values, window, out, width, false);
        for (i64 r = 0; r < count; r++)
          kernels.unary(Unary::kScale, out + r * width, inverse[r], out + r * width, head_dim);
      }
    }
  });
}

void CausalAttentionGradient(AttentionShape shape, const float* dy, const float* y, const float* log_sum,
                             const float* turned_q, const float* turned_k, const float* v, float* dq, float* dk,
                             float* dv) {
  const Kernels& kernels = Selected();
  const PanelProduct product{kernels};
  const i64 window = shape.window, head_dim = shape.head_dim, group = shape.heads / shape.kv_heads;
  const i64 width = shape.heads * head_dim, kv_width = shape.kv_heads * head_dim, rows = shape.batch * window;
  const i64 block = kernels.tile_rows * kTilesPerBlock;
  const i64 padded_window = RoundUp(window, kernels.tile_cols), padded_dim = RoundUp(head_dim, kernels.tile_cols);
  const i64 row_stride = padded_window + kRowPadding;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  ForHeads(shape, [&](i64 sequence, i64 kv_head) {
    float* transposed_keys =
        Scratch(Slot::kAttentionKeys, static_cast<std::size_t>(2 * head_dim * padded_window + window * padded_dim));
    float* transposed_values = transposed_keys + head_dim * padded_window;
    float* keys = transposed_values + head_dim * padded_window;
    float* scores = Scratch(Slot::kAttentionRows, static_cast<std::size_t>(2 * block * row_stride));
    float* changes = scores + block * row_stride;
    float* queries = Scratch(Slot::kAttentionQueries, static_cast<std::size_t>(2 * block * (head_dim + padded_dim)));
    float* outputs = queries + block * head_dim;
    float* query_panels = outputs + block * head_dim;
    float* output_panels = query_panels + block * padded_dim;
    // The key head's own gradients, gathered over its group of query heads.
    float* key_gradient = Scratch(Slot::kAttentionGradients, static_cast<std::size_t>(2 * window * head_dim));
    float* value_gradient = key_gradient + window * head_dim;
    std::memset(key_gradient, 0, 2 * window * head_dim * sizeof(float));
    const i64 first = sequence * window;
    const Operand key_rows = {turned_k + first * kv_width + kv_head * head_dim, kv_width, false};
    PackColumns({key_rows.data, kv_width, true}, 0, head_dim, 0, window, transposed_keys);
    PackColumns({v + first * kv_width + kv_head * head_dim, kv_width, true}, 0, head_dim, 0, window, transposed_values);
    PackColumns(key_rows, 0, window, 0, head_dim, keys);
    for (i64 head = kv_head * group; head < (kv_head + 1) * group; head++) {
      for (i64 r0 = 0; r0 < window; r0 += block) {
        const i64 count = std::min<i64>(block, window - r0), seen = r0 + count;
        const i64 offset = (first + r0) * width + head * head_dim;
        CopyRows(turned_q + offset, width, count, block, head_dim, queries);
        CopyRows(dy + offset, width, count, block, head_dim, outputs);
        PackColumns({queries, head_dim}, 0, count, 0, head_dim, query_panels);
        PackColumns({outputs, head_dim}, 0, count, 0, head_dim, output_panels);
        product(count, seen, head_dim, queries, head_dim, 1, transposed_keys, head_dim, scores, row_stride, false);
        product(count, seen, head_dim, outputs, head_dim, 1, transposed_values, head_dim, changes, row_stride, false);
        for (i64 r = 0; r < count; r++) {
          const i64 visible = r0 + r + 1;
          const float delta = kernels.dot(outputs + r * head_dim, y + offset + r * width, head_dim);
          kernels.attention_row_gradient(scores + r * row_stride, changes + r * row_stride, scale,
                                         log_sum[(first + r0 + r) * shape.heads + head], delta, visible);
          std::memset(scores + r * row_stride + visible, 0, (seen - visible) * sizeof(float));
          std::memset(changes + r * row_stride + visible, 0, (seen - visible) * sizeof(float));
        }
        product(count, head_dim, seen, changes, row_stride, 1, keys, window, dq + offset, width, false);
        product(seen, head_dim, count, changes, 1, row_stride, query_panels, count, key_gradient, head_dim, true);
        product(seen, head_dim, count, scores, 1, row_stride, output_panels, count, value_gradient, head_dim, true);
      }
    }
    for (i64 r = 0; r < window; r++) {
      const i64 offset = (first + r) * kv_width + kv_head * head_dim;
      std::memcpy(dk + offset, key_gradient + r * head_dim, head_dim * sizeof(float));
      std::memcpy(dv + offset, value_gradient + r * head_dim, head_dim * sizeof(float));
    }
  });
  const Angles angles = RopeAngles(window, head_dim, shape.frequencies);
  Rope(rows, width, window, head_dim, angles, true, dq, dq);
  Rope(rows, kv_width, window, head_dim, angles, true, dk, dk);
}

}  // namespace onebit::training
