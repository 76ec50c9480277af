// The forward pass of a block of rows through all layers, on all threads.
#pragma once

#include <atomic>
#include <cstdint>

#include "engine/kv_cache.h"
#include "engine/model.h"
#include "engine/pages.h"
#include "engine/team.h"

namespace onebit {

// The most likely tokens of a row, in place of its logits.
struct TopTokens {
  int count = 0;  // 0: the logits are wanted
  int32_t* ids = nullptr;
  float* logits = nullptr;
  float* log_sum_exp = nullptr;
};

// Rows that run through the layers together: tokens of one or several sequences. Rows of a sequence
// are in order of position, and the cache holds all positions before its first row.
struct ForwardBlock {
  int rows = 0;
  const int32_t* tokens = nullptr;
  const int32_t* positions = nullptr;
  KvCache* const* caches = nullptr;  // one a row
  // Rows whose logits are wanted, and where their `vocab` floats go; null where the most likely tokens will do.
  int wanted = 0;
  const int32_t* wanted_rows = nullptr;
  float* const* logits = nullptr;
  const TopTokens* tops = nullptr;  // one a wanted row
};

class ForwardPass {
 public:
  static constexpr int kMaxRows = 128;
  static constexpr int kMaxThreads = 256;

  // Takes all scratch memory; `model` must outlive it.
  explicit ForwardPass(const Model& model);

  // False if Cancel was called meanwhile: the block's positions in the caches are then undefined.
  bool Run(const ForwardBlock& block);

  // From any thread: ends the running block before its next layer. Rearm before the next one.
  void Cancel() { cancelled_.store(true); }
  void Rearm() { cancelled_.store(false); }
  // What Cancel sets, for who can only write memory.
  std::atomic<bool>& cancelled() { return cancelled_; }

  size_t scratch_bytes() const { return activations_.size() + shared_tables_.pages.size() + scores_.size(); }

 private:
  // A linear with its input and output rows.
  struct Product {
    const Linear* linear;
    const float* x;
    int64_t x_stride;
    float* y;
    int64_t y_stride;
  };

  // The same with the look-up tables of its input rows, [column block][row], `stride` bytes each.
  struct TabledProduct : Product {
    uint8_t* tables;
    int64_t stride;
    float* scales;
  };
  // Memory for sets of the tables of one stage's products, the scales behind the tables.
  struct Tables {
    Pages pages;
    int64_t scales_at = 0;
    int64_t set_bytes = 0;
  };

  void RunThread(const ForwardBlock& block, Team::Member member);
  void Multiply(Team::Member& member, const Product* products, int count, int rows);
  void MakeTable(const TabledProduct& product, int index, int rows);
  void MultiplySigns(const TabledProduct& product, int first, int end, int rows, bool makes_tables);
  void MultiplyFloats(const FloatMatrix& matrix, const float* x, int64_t x_stride, int rows, int first_row,
                      int count, float* const* y);
  void Finish(const Linear& linear, float* y);
  void Rotate(const ForwardBlock& block, int layer, int row);
  void Attend(const ForwardBlock& block, int layer, int row, int head, int heads, int thread);
  void Logits(Team::Member& member, const ForwardBlock& block);

  const Model& model_;
  const Kernels& kernels_;
  const int precision_;
  double row_work_ = 0;  // of one row, in threads' worth
  Team team_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> stop_{false};  // `cancelled_` as it was when the last layer ended

  // Row strides in floats, each a multiple of 32 (a block of sign rows writes whole groups).
  int64_t hidden_stride_, query_stride_, kv_stride_, inner_stride_;
  Pages activations_;
  float *hidden_, *normed_, *projected_, *q_, *k_, *v_, *attended_, *gate_, *up_;
  Tables shared_tables_;  // one set for many rows
  Tables own_tables_;     // a set for few rows for each thread
  Pages logits_;  // of rows of which only the most likely tokens are wanted, [wanted][vocab]
  Pages scores_;  // attention weights, [thread][head][context]
  int64_t score_stride_ = 0;
};

}  // namespace onebit
