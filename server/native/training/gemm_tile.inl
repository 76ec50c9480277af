// The innermost product: a tile of C, kTileRows x kTileVectors vectors, held in registers. Needs simd.inl
// and ONEBIT_TILE_ROWS, ONEBIT_TILE_VECTORS.

namespace {

constexpr int kTileRows = ONEBIT_TILE_ROWS;
constexpr int kTileVectors = ONEBIT_TILE_VECTORS;

template <int kVectors>
inline void WriteTile(const Vec (&sum)[kTileRows][kVectors], float* c, i64 ldc, int rows, int cols, bool accumulate) {
  if (rows == kTileRows && cols == kVectors * kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; i++) {
      float* out = c + i * ldc;
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; j++)
        Store(out + j * kLanes, accumulate ? sum[i][j] + Load(out + j * kLanes) : sum[i][j]);
    }
    return;
  }
  float tile[kTileRows][kVectors * kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) Store(&tile[i][j * kLanes], sum[i][j]);
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) c[i * ldc + j] = accumulate ? c[i * ldc + j] + tile[i][j] : tile[i][j];
}

// Asks for the tile's part of C ahead: by the end of the loop over k it has arrived.
inline void PrefetchTile(const float* c, i64 ldc, int rows, int cols) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j += 16) __builtin_prefetch(c + i * ldc + j, 1);
}

// A by columns: element (i, p) at a[p * step + i]. A packed panel, or a transposed matrix as it lies.
template <int kVectors>
void TileByColumns(i64 k, const float* a, i64 step, const float* b, i64 b_step, float* c, i64 ldc, int rows, int cols,
                   bool accumulate) {
  PrefetchTile(c, ldc, rows, cols);
  Vec sum[kTileRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) sum[i][j] = Vec{};
  for (i64 p = 0; p < k; p++) {
    Vec right[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) right[j] = Load(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; i++) {
      const float left = a[i];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; j++) sum[i][j] += right[j] * left;
    }
    a += step;
    b += b_step;
  }
  WriteTile<kVectors>(sum, c, ldc, rows, cols, accumulate);
}

// A by rows: element (i, p) at a[i * lda + p]. A matrix as it lies; three rows share a pointer, so that
// the pointers fit in registers.
template <int kVectors>
void TileByRows(i64 k, const float* a, i64 lda, const float* b, i64 b_step, float* c, i64 ldc, int rows, int cols,
                bool accumulate) {
  constexpr int kPointers = (kTileRows + 2) / 3;
  const char* row[kPointers];
  const i64 stride = lda * 4;
#pragma GCC unroll 8
  for (int i = 0; i < kPointers; i++) row[i] = reinterpret_cast<const char*>(a) + 3 * i * stride;
  PrefetchTile(c, ldc, rows, cols);
  Vec sum[kTileRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) sum[i][j] = Vec{};
  for (i64 p = 0; p < k; p++) {
    Vec right[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) right[j] = Load(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; i++) {
      const float left = *reinterpret_cast<const float*>(row[i / 3] + (i % 3) * stride);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; j++) sum[i][j] += right[j] * left;
    }
#pragma GCC unroll 8
    for (int i = 0; i < kPointers; i++) row[i] += 4;
    b += b_step;
  }
  WriteTile<kVectors>(sum, c, ldc, rows, cols, accumulate);
}

void Tile(i64 k, const float* a, i64 a_row, i64 a_step, const float* b, i64 b_step, float* c, i64 ldc, int rows,
          int cols, bool accumulate) {
  const bool narrow = kTileVectors > 1 && cols <= kLanes;
  if (a_row == 1) {
    if (narrow) TileByColumns<1>(k, a, a_step, b, b_step, c, ldc, rows, cols, accumulate);
    else TileByColumns<kTileVectors>(k, a, a_step, b, b_step, c, ldc, rows, cols, accumulate);
  } else {
    if (narrow) TileByRows<1>(k, a, a_row, b, b_step, c, ldc, rows, cols, accumulate);
    else TileByRows<kTileVectors>(k, a, a_row, b, b_step, c, ldc, rows, cols, accumulate);
  }
}

float FmaChain(i64 n, i64* flops) {
  Vec sum[kTileRows][kTileVectors];
  for (int i = 0; i < kTileRows; i++)
    for (int j = 0; j < kTileVectors; j++) sum[i][j] = Splat(static_cast<float>(i + j));
  const Vec factor = Splat(0.5f), addend = Splat(1.0f);
  for (i64 p = 0; p < n; p++) {
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; i++)
#pragma GCC unroll 4
      for (int j = 0; j < kTileVectors; j++) sum[i][j] = sum[i][j] * factor + addend;
  }
  float total = 0;
  for (int i = 0; i < kTileRows; i++)
    for (int j = 0; j < kTileVectors; j++) total += Sum(sum[i][j]);
  *flops = 2 * n * kTileRows * kTileVectors * kLanes;
  return total;
}

}  // namespace
