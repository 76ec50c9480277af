#include "training/gemm.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "thread_pool.h"
#include "training/rows.h"
#include "training/scratch.h"

namespace onebit::training {
namespace {

constexpr i64 kDepth = 512;      // k of a block: every block passes over C once more; B's panel comes from L2
constexpr i64 kBlockRows = 168;  // rows of A of a block: with kDepth they stay in L2
constexpr i64 kLongDepth = 192;  // k of a block where k is the long side

i64 CeilDiv(i64 a, i64 b) { return (a + b - 1) / b; }

// The size of n's equal blocks of at most `limit`, in whole units.
i64 BlockSize(i64 n, i64 limit, i64 unit) { return CeilDiv(CeilDiv(n, CeilDiv(n, limit)), unit) * unit; }

// Rows [first, first + rows) of op(A), columns [depth, depth + k), into panels of `height` rows, each [k, height].
void PackRows(const Kernels& kernels, Operand a, i64 first, i64 rows, i64 depth, i64 k, float* out) {
  const int height = kernels.tile_rows;
  for (i64 i = 0; i < rows; i += height, out += height * k) {
    const float* from = a.transposed ? a.data + depth * a.stride + first + i : a.data + (first + i) * a.stride + depth;
    kernels.pack_panel(from, a.stride, !a.transposed, k, std::min<i64>(height, rows - i), height, out);
  }
}

// Rows whose stride is a multiple of 2 KiB fall into the same few sets of the L1 cache: read in place, a tile's
// rows would push each other out.
bool ReadsWellInPlace(const Operand& a) { return !a.transposed && (a.stride * 4) % 2048 != 0; }

// The first pass over a block of rows brings it into the cache: ask for the next tile's rows one tile ahead.
void PrefetchRows(const Operand& a, i64 first, i64 rows, i64 depth, i64 k) {
  for (i64 r = 0; r < rows; r++) {
    const float* row = a.data + (first + r) * a.stride + depth;
    for (i64 p = 0; p < k; p += 16) __builtin_prefetch(row + p, 0, 2);
  }
}

// B in panels, packed by whoever first needs one.
class SharedPanels {
 public:
  SharedPanels(Operand b, i64 n, i64 k, i64 depth, int width)
      : b_(b), n_(n), k_(k), depth_(depth), width_(width), count_(CeilDiv(n, width)),
        states_(static_cast<std::size_t>(count_ * std::max<i64>(1, CeilDiv(k, depth)))),
        data_(Scratch(Slot::kPackedB, static_cast<std::size_t>(count_ * width * std::max<i64>(k, 1)))) {}

  // The panel of columns [j, j + width) and rows from p0 on, [min(depth, k - p0), width].
  const float* Get(i64 j, i64 p0) {
    const i64 panel = j / width_, deep = std::min(depth_, k_ - p0);
    std::atomic<char>& state = states_[static_cast<std::size_t>(p0 / depth_ * count_ + panel)];
    float* data = data_ + p0 * count_ * width_ + panel * deep * width_;
    if (state.load(std::memory_order_acquire) == kReady) return data;
    char expected = kEmpty;
    if (state.compare_exchange_strong(expected, kBusy, std::memory_order_acq_rel)) {
      PackColumns(b_, p0, deep, j, std::min<i64>(width_, n_ - j), data);
      state.store(kReady, std::memory_order_release);
    }
    // Packing takes microseconds, unless its thread has lost the core.
    for (int i = 0; state.load(std::memory_order_acquire) != kReady; i++)
      if (i > 1000) std::this_thread::yield();
    return data;
  }

 private:
  static constexpr char kEmpty = 0, kBusy = 1, kReady = 2;
  Operand b_;
  i64 n_, k_, depth_;
  int width_;
  i64 count_;
  std::vector<std::atomic<char>> states_;
  float* data_;
};

// Many rows: the threads take blocks of rows, all of k for each.
void GemmByRows(i64 m, i64 n, i64 k, Operand a, Operand b, float* c, i64 ldc, bool accumulate, RowEpilogue epilogue) {
  const Kernels& kernels = Selected();
  const int height = kernels.tile_rows, width = kernels.tile_cols;
  ThreadPool& pool = ThreadPool::Shared();
  const i64 depth = k == 0 ? 1 : BlockSize(k, kDepth, 1);
  // As many blocks as fit the cache, and the same number for each thread.
  const i64 panels = CeilDiv(m, height);
  const i64 wanted = CeilDiv(CeilDiv(m, kBlockRows), pool.threads()) * pool.threads();
  const i64 block_rows = CeilDiv(panels, std::min(wanted, panels)) * height;
  const bool in_place = ReadsWellInPlace(a);
  SharedPanels columns(b, n, k, depth, width);

  const auto block = [&](i64 i0) {
    const i64 rows = std::min(block_rows, m - i0);
    const i64 whole = in_place ? rows / height * height : 0;
    float* packed = Scratch(Slot::kPackedA, static_cast<std::size_t>(rows - whole + height) * depth);
    for (i64 p0 = 0; p0 == 0 || p0 < k; p0 += depth) {
      const i64 deep = std::min(depth, k - p0);
      const bool add = accumulate || p0 > 0;
      PackRows(kernels, a, i0 + whole, rows - whole, p0, deep, packed);
      for (i64 j = 0; j < n; j += width) {
        const float* panel = columns.Get(j, p0);
        const int tile_cols = static_cast<int>(std::min<i64>(width, n - j));
        for (i64 i = 0; i < whole; i += height) {
          if (j == 0) PrefetchRows(a, i0 + i + height, std::min<i64>(height, whole - i - height), p0, deep);
          kernels.tile(deep, a.data + (i0 + i) * a.stride + p0, a.stride, 1, panel, width,
                       c + (i0 + i) * ldc + j, ldc, height, tile_cols, add);
        }
        for (i64 i = whole; i < rows; i += height)
          kernels.tile(deep, packed + (i - whole) * deep, 1, height, panel, width, c + (i0 + i) * ldc + j, ldc,
                       static_cast<int>(std::min<i64>(height, rows - i)), tile_cols, add);
      }
    }
    if (epilogue.run != nullptr) epilogue.run(epilogue.context, i0, i0 + rows);
  };
  // A small product costs less than waking the others.
  if (m * n * k < 64 * 64 * 64) {
    for (i64 i0 = 0; i0 < m; i0 += block_rows) block(i0);
  } else {
    pool.ForEach(static_cast<long>(CeilDiv(m, block_rows)), [&](long i) { block(i * block_rows); });
  }
}

// k is the long side (gradients of weights): each part of k makes a C of its own, and these are added in order.
void GemmByDepth(i64 m, i64 n, i64 k, Operand a, Operand b, float* c, i64 ldc, i64 parts) {
  const Kernels& kernels = Selected();
  const int height = kernels.tile_rows, width = kernels.tile_cols;
  float* sums = Scratch(Slot::kPartial, static_cast<std::size_t>(parts * m * n));
  ThreadPool::Shared().ForEach(static_cast<long>(parts), [&](long part) {
    float* sum = sums + part * m * n;
    const i64 begin = k * part / parts, end = k * (part + 1) / parts;
    const i64 depth = BlockSize(end - begin, kLongDepth, 1);
    const i64 rows = CeilDiv(m, height) * height, cols = CeilDiv(n, width) * width;
    float* packed = Scratch(Slot::kPackedA, static_cast<std::size_t>((rows + cols) * depth));
    float* columns = packed + rows * depth;
    for (i64 p0 = begin; p0 < end; p0 += depth) {
      const i64 deep = std::min(depth, end - p0);
      PackRows(kernels, a, 0, m, p0, deep, packed);
      PackColumns(b, p0, deep, 0, n, columns);
      for (i64 j = 0; j < n; j += width)
        for (i64 i = 0; i < m; i += height)
          kernels.tile(deep, packed + i * deep, 1, height, columns + j * deep, width, sum + i * n + j, n,
                       static_cast<int>(std::min<i64>(height, m - i)), static_cast<int>(std::min<i64>(width, n - j)),
                       p0 > begin);
    }
  });
  ForRows(m, n * parts, [&](i64 first, i64 last, i64) {
    for (i64 i = first; i < last; i++) {
      float* row = c + i * ldc;
      std::memcpy(row, sums + i * n, n * sizeof(float));
      for (i64 part = 1; part < parts; part++) kernels.combine(1, sums + (part * m + i) * n, 1, row, n);
    }
  });
}

}  // namespace

void PackColumns(Operand b, i64 first_row, i64 rows, i64 first_col, i64 cols, float* out) {
  const Kernels& kernels = Selected();
  const int width = kernels.tile_cols;
  for (i64 j = 0; j < cols; j += width, out += rows * width) {
    const float* from = b.transposed ? b.data + (first_col + j) * b.stride + first_row
                                     : b.data + first_row * b.stride + first_col + j;
    kernels.pack_panel(from, b.stride, b.transposed, rows, std::min<i64>(width, cols - j), width, out);
  }
}

void Gemm(i64 m, i64 n, i64 k, Operand a, Operand b, float* c, i64 ldc, bool accumulate, RowEpilogue epilogue) {
  if (m == 0 || n == 0) return;
  const i64 parts = std::min<i64>(ThreadPool::Shared().threads() <= 4 ? 4 : 16, k / 256);
  const bool by_depth = parts > 1 && k > 2 * std::max(m, n) && m * n <= (1 << 19) && !accumulate &&
                        epilogue.run == nullptr;
  if (by_depth) GemmByDepth(m, n, k, a, b, c, ldc, parts);
  else GemmByRows(m, n, k, a, b, c, ldc, accumulate, epilogue);
}

}  // namespace onebit::training
