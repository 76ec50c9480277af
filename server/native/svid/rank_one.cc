#include "svid/rank_one.h"

#include <algorithm>
#include <cmath>

#include "svid/float_scalar.h"
#include "thread_pool.h"

namespace onebit {
namespace {

constexpr int64_t kBlockRows = 64;  // f32 sums run over this many rows, then go into f64
constexpr int64_t kMaxChunks = 32;
constexpr int64_t kParallelElements = 1 << 20;

class PowerIteration {
 public:
  explicit PowerIteration(const RankOneRequest& request)
      : request_(request),
        kernels_(SelectedRankOneKernels(request.type)),
        row_bytes_(request.columns * FloatSize(request.type)),
        chunks_(std::clamp<int64_t>(request.rows / kBlockRows, 1, kMaxChunks)),
        partial_(chunks_ * request.columns),
        v_(request.columns),
        u_(request.rows) {}

  RankOneResult Run() {
    RankOneResult result;
    if (!Scan(result) || !Iterate(result)) return result;
    Finish(result);
    return result;
  }

 private:
  // Splits the rows into chunks that do not depend on the number of threads (f64 sums are kept a
  // chunk and added in order, so every run gives the same bits) and calls f(chunk, first, last, sums).
  template <typename F>
  void ForChunks(F&& f) {
    std::atomic<int64_t> next{0};
    const auto work = [&] {
      std::vector<float> sums(request_.columns);
      for (int64_t c = next.fetch_add(1); c < chunks_; c = next.fetch_add(1)) {
        f(c, request_.rows * c / chunks_, request_.rows * (c + 1) / chunks_, sums.data());
      }
    };
    if (request_.rows * request_.columns >= kParallelElements) ThreadPool::Shared().Share(work);
    else work();
  }

  // Calls f(first, count) for blocks of rows, gathering what f adds to sums into the chunk's f64 sums.
  template <typename F>
  void ForBlocks(int64_t chunk, int64_t first, int64_t last, float* sums, F&& f) {
    double* total = partial_.data() + chunk * request_.columns;
    std::fill(total, total + request_.columns, 0.0);
    for (int64_t row = first; row < last; row += kBlockRows) {
      std::fill(sums, sums + request_.columns, 0.0f);
      f(row, std::min(kBlockRows, last - row));
      for (int64_t j = 0; j < request_.columns; j++) total[j] += sums[j];
    }
  }

  const uint8_t* Row(int64_t i) const { return request_.weights + i * row_bytes_; }

  // Adds the chunks' sums in order into the first and returns their norm.
  double GatherSums() {
    double squares = 0;
    for (int64_t j = 0; j < request_.columns; j++) {
      double sum = 0;
      for (int64_t c = 0; c < chunks_; c++) sum += partial_[c * request_.columns + j];
      partial_[j] = sum;
      squares += sum * sum;
    }
    return std::sqrt(squares);
  }

  // Sets v to the gathered direction; returns how far it moved.
  double Turn(double norm) {
    double moved = 0;
    for (int64_t j = 0; j < request_.columns; j++) {
      const double to = partial_[j] / norm;
      moved += (to - v_[j]) * (to - v_[j]);
      v_[j] = static_cast<float>(to);
    }
    return std::sqrt(moved);
  }

  // Looks for NaN and infinity, finds the scale, and starts from the column sums.
  bool Scan(RankOneResult& result) {
    std::vector<uint32_t> largest(chunks_, 0);
    ForChunks([&](int64_t chunk, int64_t first, int64_t last, float* sums) {
      ForBlocks(chunk, first, last, sums, [&](int64_t row, int64_t count) {
        largest[chunk] = std::max(largest[chunk], kernels_.scan(Row(row), count, request_.columns, sums));
      });
    });
    const uint32_t bits = *std::max_element(largest.begin(), largest.end());
    if (bits >= 0x7f800000u) {
      result.status = RankOneResult::Status::kNotFinite;
      FindNotFinite(result);
      return false;
    }
    // A power of two near 1/max keeps squares of very large and very small weights inside f32.
    int exponent = 0;
    std::frexp(BitsFloat(bits), &exponent);
    scale_ = std::ldexp(1.0, std::clamp(-exponent, -120, 120));
    norm_ = GatherSums();
    if (norm_ > 0 && std::isfinite(norm_)) Turn(norm_);
    return true;
  }

  void FindNotFinite(RankOneResult& result) const {
    for (int64_t i = 0; i < request_.rows; i++) {
      for (int64_t j = 0; j < request_.columns; j++) {
        const uint8_t* at = Row(i) + j * FloatSize(request_.type);
        const float w = request_.type == FloatType::kF32   ? F32::Read(at)
                        : request_.type == FloatType::kF16 ? F16::Read(at)
                                                           : BF16::Read(at);
        if (std::isfinite(w)) continue;
        result.bad_row = i;
        result.bad_column = j;
        return;
      }
    }
  }

  bool Iterate(RankOneResult& result) {
    double before = 0;
    while (norm_ > 0 && result.iterations < request_.max_iterations) {
      if (*static_cast<const volatile int32_t*>(request_.stop) != 0) {
        result.status = RankOneResult::Status::kStopped;
        return false;
      }
      ForChunks([&](int64_t chunk, int64_t first, int64_t last, float* sums) {
        ForBlocks(chunk, first, last, sums, [&](int64_t row, int64_t count) {
          kernels_.step(Row(row), count, request_.columns, v_.data(), scale_, u_.data() + row, sums);
        });
      });
      norm_ = GatherSums();
      if (norm_ == 0) break;
      const double moved = Turn(norm_);
      result.iterations++;
      // The steps shrink by (σ₂/σ₁)² each time: what is left to go is the rest of that series.
      const double rate = before > 0 ? moved / before : 1;
      if (moved <= 0.03 * request_.tolerance) break;
      if (rate < 1 && moved * rate / (1 - rate) <= request_.tolerance) break;
      before = moved;
    }
    return true;
  }

  // |W|ᵀ|W| v = σ² v: u = |W| v of the last pass has length σ; then g, h, the signs and the error.
  void Finish(RankOneResult& result) {
    double squares = 0;
    for (const float x : u_) squares += static_cast<double>(x) * x;
    const double sigma = std::sqrt(squares) / scale_;
    const double rows = static_cast<double>(request_.rows), columns = static_cast<double>(request_.columns);
    // h = a·(u/σ) and g = (σ/a)·v have equal root mean squares for a² = σ·√(rows/columns).
    const double a = std::sqrt(sigma * std::sqrt(rows / columns));
    result.h.assign(request_.rows, 0.0f);
    result.g.assign(request_.columns, 0.0f);
    if (sigma > 0) {
      const double to_h = a / (sigma * scale_), to_g = sigma / a;
      for (int64_t i = 0; i < request_.rows; i++) result.h[i] = static_cast<float>(u_[i] * to_h);
      for (int64_t j = 0; j < request_.columns; j++) result.g[j] = static_cast<float>(v_[j] * to_g);
    }
    const int64_t sign_bytes = (request_.columns + 7) / 8;
    result.signs.resize(request_.rows * sign_bytes);
    std::vector<double> error(chunks_, 0.0), norm(chunks_, 0.0);
    ForChunks([&](int64_t chunk, int64_t first, int64_t last, float*) {
      kernels_.finish(Row(first), last - first, request_.columns, result.h.data() + first, result.g.data(),
                      static_cast<float>(scale_), result.signs.data() + first * sign_bytes, &error[chunk],
                      &norm[chunk]);
    });
    double total_error = 0, total_norm = 0;
    for (int64_t c = 0; c < chunks_; c++) {
      total_error += error[c];
      total_norm += norm[c];
    }
    result.relative_error = total_norm > 0 ? std::sqrt(total_error / total_norm) : 0;
  }

  const RankOneRequest& request_;
  const RankOneKernels& kernels_;
  const int64_t row_bytes_;
  const int64_t chunks_;
  std::vector<double> partial_;  // [chunks, columns]
  std::vector<float> v_;         // unit length
  std::vector<float> u_;         // scale · |W| v
  double scale_ = 1;
  double norm_ = 0;
};

}  // namespace

RankOneResult FactorRankOne(const RankOneRequest& request) { return PowerIteration(request).Run(); }

}  // namespace onebit
