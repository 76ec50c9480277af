#include "inspect/matrix_passes.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "thread_pool.h"

namespace onebit {
namespace {

constexpr int64_t kBlockRows = 64;    // f32 sums run over this many rows, then go into f64
constexpr int64_t kCountRows = 255;   // what eight bits can count
constexpr int64_t kMaxChunks = 32;
constexpr int64_t kParallelElements = 1 << 20;

// Rows cut into chunks that depend on the shape alone; each has its own sums, added in order afterwards.
class Chunks {
 public:
  Chunks(int64_t rows, int64_t columns)
      : rows_(rows),
        count_(std::clamp<int64_t>(rows / kBlockRows, 1, kMaxChunks)),
        parallel_(rows * columns >= kParallelElements) {}

  int64_t count() const { return count_; }

  // Calls f(chunk, first, last) for each, on whichever thread is free.
  template <typename F>
  void Each(F&& f) const {
    const auto one = [&](long c) { f(int64_t{c}, rows_ * c / count_, rows_ * (c + 1) / count_); };
    if (parallel_) {
      ThreadPool::Shared().ForEach(static_cast<long>(count_), one);
    } else {
      for (long c = 0; c < count_; c++) one(c);
    }
  }

 private:
  int64_t rows_;
  int64_t count_;
  bool parallel_;
};

// Σ over the chunks, in order: [chunks, columns] to [columns].
template <typename T>
std::vector<T> Gather(const std::vector<T>& partial, int64_t chunks, int64_t columns) {
  std::vector<T> sums(partial.begin(), partial.begin() + columns);
  for (int64_t c = 1; c < chunks; c++) {
    for (int64_t j = 0; j < columns; j++) sums[j] += partial[c * columns + j];
  }
  return sums;
}

// Calls f(first, count, sums) for blocks of rows, gathering what f adds to sums into total.
template <typename F>
void ForBlocks(int64_t first, int64_t last, int64_t columns, double* total, F&& f) {
  std::vector<float> sums(columns);
  for (int64_t row = first; row < last; row += kBlockRows) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    f(row, std::min(kBlockRows, last - row), sums.data());
    for (int64_t j = 0; j < columns; j++) total[j] += sums[j];
  }
}

double PowerOfTwoNear(double x) {
  if (!(x > 0) || !std::isfinite(x)) return 1;
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, std::clamp(exponent, -120, 120));
}

double RootMeanSquare(const float* values, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; i++) squares += static_cast<double>(values[i]) * values[i];
  return std::sqrt(squares / static_cast<double>(count));
}

}  // namespace

NegativeCounts CountNegative(const uint8_t* signs, int64_t rows, int64_t columns) {
  const InspectKernels& kernels = SelectedInspectKernels(FloatType::kF32);
  const Chunks chunks(rows, columns);
  NegativeCounts counts{std::vector<uint32_t>(rows), {}};
  std::vector<uint32_t> partial(chunks.count() * columns);
  chunks.Each([&](int64_t chunk, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row += kCountRows) {
      kernels.count(signs + row * (columns / 8), std::min(kCountRows, last - row), columns,
                    counts.by_row.data() + row, partial.data() + chunk * columns);
    }
  });
  counts.by_column = Gather(partial, chunks.count(), columns);
  return counts;
}

Comparison CompareWithTeacher(const MatrixView& w, const uint8_t* signs, const float* g, const float* h) {
  const InspectKernels& kernels = SelectedInspectKernels(w.type);
  const Chunks chunks(w.rows, w.columns);
  // W is near h gᵀ in size, or the comparison says little.
  const double scale = 1 / PowerOfTwoNear(RootMeanSquare(g, w.columns) * RootMeanSquare(h, w.rows));
  std::vector<CompareSums> sums(chunks.count());
  std::vector<double> absolute(chunks.count() * w.columns);
  chunks.Each([&](int64_t chunk, int64_t first, int64_t last) {
    std::vector<uint8_t> negatives(w.columns / 8);
    ForBlocks(first, last, w.columns, absolute.data() + chunk * w.columns,
              [&](int64_t row, int64_t count, float* block_absolute) {
                kernels.compare(w.bytes + row * w.columns * FloatSize(w.type), signs + row * (w.columns / 8), count,
                                w.columns, h + row, g, static_cast<float>(scale), negatives.data(), &sums[chunk],
                                block_absolute);
              });
  });
  Comparison result;
  for (const CompareSums& one : sums) {
    result.sums.error += one.error / (scale * scale);
    result.sums.total += one.total / (scale * scale);
    result.sums.product += one.product / scale;
    result.sums.different += one.different;
  }
  result.sums.product /= scale;
  result.absolute = Gather(absolute, chunks.count(), w.columns);
  return result;
}

AbsoluteStep StepAbsolute(const MatrixView& w, const float* v, double scale) {
  const RankOneKernels& kernels = SelectedRankOneKernels(w.type);
  const Chunks chunks(w.rows, w.columns);
  std::vector<float> u(w.rows);
  std::vector<double> product(chunks.count() * w.columns);
  chunks.Each([&](int64_t chunk, int64_t first, int64_t last) {
    ForBlocks(first, last, w.columns, product.data() + chunk * w.columns,
              [&](int64_t row, int64_t count, float* sums) {
                kernels.step(w.bytes + row * w.columns * FloatSize(w.type), count, w.columns, v, scale,
                             u.data() + row, sums);
              });
  });
  AbsoluteStep result;
  for (const float x : u) result.squares += static_cast<double>(x) * x;
  result.squares /= scale * scale;
  result.product = Gather(product, chunks.count(), w.columns);
  for (double& x : result.product) x /= scale;
  return result;
}

LatentSigns PackLatent(const MatrixView& w, double part) {
  const InspectKernels& kernels = SelectedInspectKernels(w.type);
  const Chunks chunks(w.rows, w.columns);
  LatentSigns result;
  result.signs.resize(w.rows * (w.columns / 8));
  std::vector<double> squares(chunks.count());
  chunks.Each([&](int64_t chunk, int64_t first, int64_t last) {
    squares[chunk] = kernels.pack(w.bytes + first * w.columns * FloatSize(w.type), (last - first) * w.columns,
                                  result.signs.data() + first * (w.columns / 8));
  });
  for (const double one : squares) result.squares += one;
  const double count = static_cast<double>(w.rows) * static_cast<double>(w.columns);
  const float limit = static_cast<float>(part * std::sqrt(result.squares / count));
  std::vector<int64_t> near(chunks.count());
  chunks.Each([&](int64_t chunk, int64_t first, int64_t last) {
    near[chunk] = kernels.near_zero(w.bytes + first * w.columns * FloatSize(w.type), (last - first) * w.columns,
                                    limit);
  });
  for (const int64_t one : near) result.near_zero += one;
  return result;
}

}  // namespace onebit
