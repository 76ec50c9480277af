#include "training/embedding.h"

#include <cstring>

#include "training/rows.h"

namespace onebit::training {

void Embed(i64 rows, i64 width, const float* table, const std::int32_t* ids, float* y) {
  ForRows(rows, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++) std::memcpy(y + r * width, table + ids[r] * width, width * sizeof(float));
  }, 1 << 16);
}

void EmbedGradient(i64 rows, i64 width, i64 vocab, const float* dy, const std::int32_t* ids, float* dtable) {
  const Kernels& kernels = Selected();
  // Each thread owns a range of tokens: no two write the same row, and each row is summed in order.
  ForRows(vocab, width, [&](i64 first, i64 last, i64) {
    std::memset(dtable + first * width, 0, (last - first) * width * sizeof(float));
    for (i64 r = 0; r < rows; r++)
      if (ids[r] >= first && ids[r] < last)
        kernels.combine(1, dy + r * width, 1, dtable + ids[r] * width, width);
  });
}

}  // namespace onebit::training
