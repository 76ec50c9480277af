// Work that is the same for every row or every stretch of an array, divided among the threads. The division
// depends only on the sizes and the number of threads, so that sums come out the same every time.
#pragma once
#include <algorithm>

#include "thread_pool.h"
#include "training/kernels.h"

namespace onebit::training {

// f(first, last, part): rows [first, last). Fewer than `grain` floats a thread run on the caller alone.
template <typename F>
void ForRows(i64 rows, i64 width, F&& f, i64 grain = 8192) {
  ThreadPool& pool = ThreadPool::Shared();
  if (pool.threads() == 1 || rows < 2 || rows * width < grain) {
    f(static_cast<i64>(0), rows, 0);
    return;
  }
  pool.Parallel([&](int index, int count) { f(rows * index / count, rows * (index + 1) / count, index); });
}

// f(first, last): a stretch of n floats, cut at whole vectors.
template <typename F>
void ForStretch(i64 n, F&& f) {
  constexpr i64 kUnit = 64;
  ForRows((n + kUnit - 1) / kUnit, kUnit,
          [&](i64 first, i64 last, int) { f(first * kUnit, std::min(n, last * kUnit)); }, 1 << 15);
}

}  // namespace onebit::training
