#include "engine/byte_matrix.h"

#include <atomic>
#include <cmath>

#include "engine/model.h"
#include "thread_pool.h"

namespace onebit {
namespace {

// Groups of rows that a thread draws at a time.
constexpr int kGroupsAtOnce = 64;

// One row's quotients; returns the scale. A row of zeros has scale 0.
float RoundRow(const float* row, int columns, int8_t* target) {
  float largest = 0.0f;
  for (int i = 0; i < columns; i++) largest = std::fabs(row[i]) > largest ? std::fabs(row[i]) : largest;
  const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
  for (int i = 0; i < columns; i++) {
    int8_t* step = target + i / kByteColumns * (kByteRows * kByteColumns) + i % kByteColumns;
    *step = static_cast<int8_t>(std::lrintf(row[i] * inverse));
  }
  return largest / 127.0f;
}

}  // namespace

ByteMatrix RoundToBytes(const FloatMatrix& matrix, const Kernels& kernels) {
  ByteMatrix bytes;
  bytes.out = matrix.out;
  bytes.in = matrix.in;
  const int groups = (matrix.out + kByteRows - 1) / kByteRows;
  // What is not written stays zero: columns and rows that fill the last step and group.
  bytes.storage = Pages(static_cast<size_t>(groups * bytes.group_bytes()), Pages::Use::kStreamed);
  bytes.scales.resize(static_cast<size_t>(groups) * kByteRows);
  std::atomic<int> next{0};
  ThreadPool::Shared().Share([&] {
    std::vector<float> row(static_cast<size_t>(matrix.in));
    for (int first; (first = next.fetch_add(kGroupsAtOnce)) < groups;) {
      const int end = first + kGroupsAtOnce < groups ? first + kGroupsAtOnce : groups;
      for (int r = first * kByteRows; r < end * kByteRows && r < matrix.out; r++) {
        kernels.widen[static_cast<int>(matrix.type)](matrix.row(r), matrix.in, row.data());
        auto* group = reinterpret_cast<int8_t*>(bytes.storage.data()) + r / kByteRows * bytes.group_bytes();
        bytes.scales[static_cast<size_t>(r)] = RoundRow(row.data(), matrix.in, group + r % kByteRows * kByteColumns);
      }
    }
  });
  return bytes;
}

}  // namespace onebit
