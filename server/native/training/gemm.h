// Matrix product in f32, on the shared thread pool.
#pragma once
#include <cstdint>

#include "training/kernels.h"

namespace onebit::training {

// A matrix as it lies in memory, row-major; `transposed` says that the product uses its transpose.
struct Operand {
  const float* data;
  i64 stride;  // floats from row to row
  bool transposed = false;
};

// Called on each block of finished rows of C, from the thread that computed it, while they are in its cache.
struct RowEpilogue {
  void (*run)(void* context, i64 first, i64 last);
  void* context;
};

// C[m, n] = op(A)[m, k] op(B)[k, n], or += where accumulate. With the same number of threads, the result is the
// same to the bit. Must not be called from inside a task of the pool.
void Gemm(i64 m, i64 n, i64 k, Operand a, Operand b, float* c, i64 ldc, bool accumulate = false,
          RowEpilogue epilogue = {nullptr, nullptr});

// Lays op(B)[k, n] out in panels of tile_cols columns, each [k, width], the last one filled up with zeros.
void PackColumns(Operand b, i64 first_row, i64 rows, i64 first_col, i64 cols, float* out);

}  // namespace onebit::training
