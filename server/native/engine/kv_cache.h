// The keys and values of one sequence: [layer][keys, values][kv head][position][head_dim], f32 or fp16.
// Room for the whole context is reserved; only what has been used takes memory.
#pragma once

#include <cstdint>

#include "engine/model.h"
#include "engine/pages.h"

namespace onebit {

class KvCache {
 public:
  explicit KvCache(const ModelShape& shape)
      : kv_heads_(shape.kv_heads),
        row_bytes_(shape.head_dim * (shape.half_cache ? 2 : 4)),
        head_bytes_(static_cast<int64_t>(shape.context) * row_bytes_),
        storage_(static_cast<size_t>(head_bytes_ * shape.kv_heads * 2 * shape.layers), Pages::Use::kSparse) {}

  uint8_t* keys(int layer, int head, int position) const { return At(2 * layer, head, position); }
  uint8_t* values(int layer, int head, int position) const { return At(2 * layer + 1, head, position); }

  static int64_t BytesPerPosition(const ModelShape& shape) {
    return int64_t{2} * shape.layers * shape.kv_heads * shape.head_dim * (shape.half_cache ? 2 : 4);
  }

 private:
  uint8_t* At(int64_t plane, int head, int position) const {
    return storage_.data() + (plane * kv_heads_ + head) * head_bytes_ + static_cast<int64_t>(position) * row_bytes_;
  }

  int kv_heads_;
  int64_t row_bytes_;
  int64_t head_bytes_;
  Pages storage_;
};

}  // namespace onebit
