// Causal attention with rotary positions and grouped queries, without ever holding a [window, window] matrix
// per head: rows are taken in small blocks, and the backward pass computes the weights again from the
// logarithms of their sums.
#pragma once
#include "training/kernels.h"

namespace onebit::training {

struct AttentionShape {
  i64 batch, window, heads, kv_heads, head_dim;
  const float* frequencies;  // of RoPE, [head_dim / 2]
};

// q, y [rows, heads * head_dim]; k, v [rows, kv_heads * head_dim], rows = batch * window. Also written, for the
// gradient: log_sum [rows, heads], turned_q and turned_k (q and k after RoPE).
void CausalAttention(AttentionShape shape, const float* q, const float* k, const float* v, float* y, float* log_sum,
                     float* turned_q, float* turned_k);

void CausalAttentionGradient(AttentionShape shape, const float* dy, const float* y, const float* log_sum,
                             const float* turned_q, const float* turned_k, const float* v, float* dq, float* dk,
                             float* dv);

}  // namespace onebit::training
