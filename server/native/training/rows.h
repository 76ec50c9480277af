// Work that is the same for every row or every stretch of an array, cut into pieces that the threads share. The
// cut depends on the sizes alone, so that sums come out the same every time, whatever the number of threads.
#pragma once
#include <algorithm>

#include "thread_pool.h"
#include "training/kernels.h"

namespace onebit::training {

constexpr i64 kMaxPieces = 16;

// How many pieces ForRows cuts so many rows into: those of at least `grain` floats, at most kMaxPieces.
inline i64 Pieces(i64 rows, i64 width, i64 grain = 8192) {
  return std::max<i64>(1, std::min({kMaxPieces, rows, rows * width / grain}));
}

// f(first, last, piece): rows [first, last), piece < Pieces(rows, width, grain).
template <typename F>
void ForRows(i64 rows, i64 width, F&& f, i64 grain = 8192) {
  const i64 pieces = Pieces(rows, width, grain);
  ThreadPool::Shared().ForEach(static_cast<long>(pieces), [&](long piece) {
    f(rows * piece / pieces, rows * (piece + 1) / pieces, static_cast<i64>(piece));
  });
}

// f(first, last): a stretch of n floats, cut at whole vectors.
template <typename F>
void ForStretch(i64 n, F&& f) {
  constexpr i64 kUnit = 64;
  ForRows((n + kUnit - 1) / kUnit, kUnit,
          [&](i64 first, i64 last, i64) { f(first * kUnit, std::min(n, last * kUnit)); }, 1 << 15);
}

}  // namespace onebit::training
