#include "training/gemm.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "thread_pool.h"
#include "training/barrier.h"
#include "training/scratch.h"

namespace onebit::training {
namespace {

constexpr i64 kDepth = 320;     // k of a block: a panel of B (kDepth x tile_cols) stays in L1
constexpr i64 kBlockRows = 224;  // rows of A of a block: with kDepth they stay in L2
constexpr i64 kBlockCols = 4096; // columns of B that are packed at a time

i64 CeilDiv(i64 a, i64 b) { return (a + b - 1) / b; }

// Splits n into equal blocks of at most `limit`, in whole units.
i64 BlockSize(i64 n, i64 limit, i64 unit) { return CeilDiv(CeilDiv(n, CeilDiv(n, limit)), unit) * unit; }

// Rows [first, first + rows) of op(A), columns [depth, depth + k), into panels of `height` rows, each [k, height].
void PackRows(Operand a, i64 first, i64 rows, i64 depth, i64 k, int height, float* out) {
  for (i64 i = 0; i < rows; i += height, out += height * k) {
    const i64 count = std::min<i64>(height, rows - i);
    if (a.transposed) {
      for (i64 p = 0; p < k; p++) {
        const float* from = a.data + (depth + p) * a.stride + first + i;
        float* to = out + p * height;
        i64 r = 0;
        for (; r < count; r++) to[r] = from[r];
        for (; r < height; r++) to[r] = 0;
      }
    } else {
      for (i64 r = 0; r < height; r++) {
        float* to = out + r;
        if (r < count) {
          const float* from = a.data + (first + i + r) * a.stride + depth;
          for (i64 p = 0; p < k; p++) to[p * height] = from[p];
        } else {
          for (i64 p = 0; p < k; p++) to[p * height] = 0;
        }
      }
    }
  }
}

// Rows whose stride is a multiple of 4 KiB fall into the same sets of the L1 cache: read in place, a tile's
// rows would push each other out.
bool ReadsWellInPlace(const Operand& a) { return !a.transposed && (a.stride * 4) % 2048 != 0; }

// The first pass over a block of rows brings it into the cache: ask for the next tile's rows one tile ahead.
void PrefetchRows(const Operand& a, i64 first, i64 rows, i64 depth, i64 k) {
  for (i64 r = 0; r < rows; r++) {
    const float* row = a.data + (first + r) * a.stride + depth;
    for (i64 p = 0; p < k; p += 16) __builtin_prefetch(row + p, 0, 2);
  }
}

}  // namespace

void PackColumns(Operand b, i64 first_row, i64 rows, i64 first_col, i64 cols, int width, float* out) {
  for (i64 j = 0; j < cols; j += width, out += rows * width) {
    const i64 count = std::min<i64>(width, cols - j);
    if (!b.transposed) {
      for (i64 p = 0; p < rows; p++) {
        const float* from = b.data + (first_row + p) * b.stride + first_col + j;
        float* to = out + p * width;
        std::memcpy(to, from, count * sizeof(float));
        if (count < width) std::memset(to + count, 0, (width - count) * sizeof(float));
      }
      continue;
    }
    // Sixteen rows at a time, so that the lines written stay in L1.
    for (i64 p = 0; p < rows; p += 16) {
      const i64 some = std::min<i64>(16, rows - p);
      for (i64 r = 0; r < width; r++) {
        float* to = out + p * width + r;
        if (r < count) {
          const float* from = b.data + (first_col + j + r) * b.stride + first_row + p;
          for (i64 q = 0; q < some; q++) to[q * width] = from[q];
        } else {
          for (i64 q = 0; q < some; q++) to[q * width] = 0;
        }
      }
    }
  }
}

void Gemm(i64 m, i64 n, i64 k, Operand a, Operand b, float* c, i64 ldc, bool accumulate, RowEpilogue epilogue) {
  if (m == 0 || n == 0) return;
  const Kernels& kernels = Selected();
  const int height = kernels.tile_rows, width = kernels.tile_cols;
  ThreadPool& pool = ThreadPool::Shared();
  // A small product costs less than waking the others.
  const bool alone = pool.threads() == 1 || m * n * k < 64 * 64 * 64;
  const i64 threads = alone ? 1 : pool.threads();

  const i64 depth = std::max<i64>(1, BlockSize(std::max<i64>(k, 1), kDepth, 1));
  const i64 block_cols = BlockSize(n, kBlockCols, width);
  // Blocks of rows: as many as fit the cache, and the same number for each thread.
  const i64 panels = CeilDiv(m, height);
  const i64 blocks_wanted = CeilDiv(CeilDiv(m, kBlockRows), threads) * threads;
  const i64 block_rows = CeilDiv(panels, std::min(blocks_wanted, panels)) * height;
  const i64 blocks = CeilDiv(m, block_rows);
  const bool in_place = ReadsWellInPlace(a);

  float* packed_b = Scratch(Slot::kPackedB, static_cast<std::size_t>(block_cols + width) * depth);
  std::atomic<i64> next_block{0};
  Barrier barrier(static_cast<int>(threads));

  auto work = [&](int index, int count) {
    for (i64 j0 = 0; j0 < n; j0 += block_cols) {
      const i64 cols = std::min(block_cols, n - j0);
      const i64 col_panels = CeilDiv(cols, width);
      for (i64 p0 = 0; p0 == 0 || p0 < k; p0 += depth) {
        const i64 deep = std::min(depth, k - p0);
        const bool add = accumulate || p0 > 0;
        const bool last = j0 + cols == n && p0 + deep >= k;
        const i64 first_panel = col_panels * index / count, end_panel = col_panels * (index + 1) / count;
        if (first_panel < end_panel)
          PackColumns(b, p0, deep, j0 + first_panel * width, std::min(cols, end_panel * width) - first_panel * width,
                      width, packed_b + first_panel * width * deep);
        if (index == 0) next_block.store(0, std::memory_order_relaxed);
        barrier.Wait();
        for (i64 block; (block = next_block.fetch_add(1, std::memory_order_relaxed)) < blocks;) {
          const i64 i0 = block * block_rows, rows = std::min(block_rows, m - i0);
          const i64 whole = in_place ? rows / height * height : 0;
          float* packed_a = Scratch(Slot::kPackedA, static_cast<std::size_t>(rows - whole + height) * deep);
          PackRows(a, i0 + whole, rows - whole, p0, deep, height, packed_a);
          for (i64 j = 0; j < cols; j += width) {
            const float* panel = packed_b + j * deep;
            const int tile_cols = static_cast<int>(std::min<i64>(width, cols - j));
            for (i64 i = 0; i < whole; i += height) {
              if (j == 0) PrefetchRows(a, i0 + i + height, std::min<i64>(height, whole - i - height), p0, deep);
              kernels.tile(deep, a.data + (i0 + i) * a.stride + p0, a.stride, 1, panel, width,
                           c + (i0 + i) * ldc + j0 + j, ldc, height, tile_cols, add);
            }
            for (i64 i = whole; i < rows; i += height)
              kernels.tile(deep, packed_a + (i - whole) * deep, 1, height, panel, width,
                           c + (i0 + i) * ldc + j0 + j, ldc, static_cast<int>(std::min<i64>(height, rows - i)),
                           tile_cols, add);
          }
          if (last && epilogue.run != nullptr) epilogue.run(epilogue.context, i0, i0 + rows);
        }
        barrier.Wait();
      }
    }
  };
  if (alone) work(0, 1);
  else pool.Parallel(work);
}

}  // namespace onebit::training
