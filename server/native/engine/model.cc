#include "engine/model.h"

#include <atomic>
#include <cmath>

#include "thread_pool.h"

namespace onebit {
namespace {

// What one thread reads at a time; tensors that are smaller are read by one thread.
constexpr int64_t kPieceBytes = int64_t{4} << 20;

// Whether all exponents leave room: true for finite numbers only.
bool AllFinite(FloatType type, const void* values, int64_t n) {
  bool bad = false;
  if (type == FloatType::kF32) {
    const auto* v = static_cast<const uint32_t*>(values);
    for (int64_t i = 0; i < n; i++) bad |= (v[i] & 0x7f800000u) == 0x7f800000u;
  } else {
    const uint16_t mask = type == FloatType::kF16 ? 0x7c00u : 0x7f80u;
    const auto* v = static_cast<const uint16_t*>(values);
    for (int64_t i = 0; i < n; i++) bad |= (v[i] & mask) == mask;
  }
  return !bad;
}

// Runs work(reader, piece) for every piece with all threads until one of them fails.
template <typename Work>
LoadResult ForEachPiece(const TensorSource& source, int64_t pieces, Work work) {
  std::atomic<int64_t> next{0};
  std::atomic<int> result{static_cast<int>(LoadResult::kOk)};
  const auto read = [&] {
    TensorReader reader(source);
    while (result.load() == static_cast<int>(LoadResult::kOk)) {
      const int64_t piece = next.fetch_add(1);
      if (piece >= pieces) return;
      const LoadResult outcome = work(reader, piece);
      if (outcome != LoadResult::kOk) result.store(static_cast<int>(outcome));
    }
  };
  if (source.bytes < kPieceBytes) read();
  else ThreadPool::Shared().Share(read);
  return static_cast<LoadResult>(result.load());
}

}  // namespace

Model::Model(const ModelShape& s, const Kernels& k) : shape(s), kernels(k), layers(static_cast<size_t>(s.layers)) {
  const int half = shape.head_dim / 2;
  rope_cos.resize(static_cast<size_t>(shape.context) * half);
  rope_sin.resize(rope_cos.size());
  for (int i = 0; i < half; i++) {
    const double frequency = std::pow(shape.rope_theta, -static_cast<double>(i) / half);
    for (int position = 0; position < shape.context; position++) {
      const double angle = position * frequency;
      const size_t at = static_cast<size_t>(position) * half + i;
      rope_cos[at] = static_cast<float>(std::cos(angle));
      rope_sin[at] = static_cast<float>(std::sin(angle));
    }
  }
}

void Model::RoundHead() {
  byte_head = RoundToBytes(Head(), kernels);
  head = FloatMatrix();
}

LoadResult LoadFloats(const TensorSource& source, FloatType type, int out, int in, PagePool& pool, FloatMatrix* matrix) {
  matrix->out = out;
  matrix->in = in;
  matrix->type = type;
  const int64_t element = matrix->element_bytes();
  const int64_t bytes = element * out * in;
  matrix->storage = Pages(static_cast<size_t>(bytes), pool);
  uint8_t* target = matrix->storage.data();
  return ForEachPiece(source, (bytes + kPieceBytes - 1) / kPieceBytes, [&](TensorReader& reader, int64_t piece) {
    const int64_t start = piece * kPieceBytes;
    const int64_t size = bytes - start < kPieceBytes ? bytes - start : kPieceBytes;
    if (!reader.Read(start, size, target + start)) return LoadResult::kUnreadable;
    return AllFinite(type, target + start, size / element) ? LoadResult::kOk : LoadResult::kNotFinite;
  });
}

LoadResult LoadPackedSigns(const TensorSource& source, const Kernels& kernels, int out, int in, PagePool& pool,
                           SignMatrix* matrix) {
  *matrix = SignMatrix(out, in, kernels, pool);
  const int64_t row_bytes = in / 8;
  return ForEachPiece(source, matrix->blocks(), [&](TensorReader& reader, int64_t block) {
    const int first = static_cast<int>(block) * matrix->block_rows();
    const int rows = out - first < matrix->block_rows() ? out - first : matrix->block_rows();
    std::vector<uint8_t> stored(static_cast<size_t>(rows * row_bytes));
    if (!reader.Read(first * row_bytes, rows * row_bytes, stored.data())) return LoadResult::kUnreadable;
    matrix->Pack(static_cast<int>(block), stored.data());
    return LoadResult::kOk;
  });
}

LoadResult LoadLatentSigns(const TensorSource& source, FloatType type, const Kernels& kernels, int out, int in,
                           PagePool& pool, SignMatrix* matrix) {
  *matrix = SignMatrix(out, in, kernels, pool);
  const int64_t row_bytes = static_cast<int64_t>(in) * (type == FloatType::kF32 ? 4 : 2);
  return ForEachPiece(source, matrix->blocks(), [&](TensorReader& reader, int64_t block) {
    const int first = static_cast<int>(block) * matrix->block_rows();
    const int rows = out - first < matrix->block_rows() ? out - first : matrix->block_rows();
    std::vector<uint8_t> latents(static_cast<size_t>(rows * row_bytes));
    if (!reader.Read(first * row_bytes, rows * row_bytes, latents.data())) return LoadResult::kUnreadable;
    const int64_t count = static_cast<int64_t>(rows) * in;
    if (!AllFinite(type, latents.data(), count)) return LoadResult::kNotFinite;
    std::vector<uint8_t> signs(static_cast<size_t>(count / 8));
    PackSigns(type, latents.data(), count, signs.data());
    matrix->Pack(static_cast<int>(block), signs.data());
    return LoadResult::kOk;
  });
}

}  // namespace onebit
