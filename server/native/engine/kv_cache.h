// The keys and values of one sequence: [layer][keys, values][kv head], f32 or fp16, each head's as the kernels
// store them (kernels.h).
// Room for the whole context is reserved; only what has been used takes memory.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/model.h"
#include "engine/pages.h"

namespace onebit {

class KvCache {
 public:
  explicit KvCache(const ModelShape& shape)
      : kv_heads_(shape.kv_heads),
        head_bytes_(static_cast<int64_t>((shape.context + kKeyLanes - 1) / kKeyLanes * kKeyLanes) * shape.head_dim *
                    (shape.half_cache ? 2 : 4)),
        storage_(static_cast<size_t>(head_bytes_ * shape.kv_heads * 2 * shape.layers), Pages::Use::kSparse) {}

  uint8_t* keys(int layer, int head) const { return At(2 * layer, head); }
  uint8_t* values(int layer, int head) const { return At(2 * layer + 1, head); }

  // Positions [first, end) as `source` has them, a cache of the same shape that holds the same tokens before `first`: where
  // keys of neighbours share a block (kernels.h), the whole block comes with them.
  void CopyFrom(const KvCache& source, const ModelShape& shape, int first, int end) {
    const int64_t element = shape.half_cache ? 2 : 4;
    const int64_t position_bytes = shape.head_dim * element;
    const auto copy = [&](uint8_t* to, const uint8_t* from, int64_t begin, int64_t finish) {
      std::memcpy(to + begin * position_bytes, from + begin * position_bytes,
                  static_cast<size_t>((finish - begin) * position_bytes));
    };
    const int64_t first_block = first / kKeyLanes * kKeyLanes;
    const int64_t end_block = (end + kKeyLanes - 1) / kKeyLanes * kKeyLanes;
    for (int layer = 0; layer < shape.layers; layer++) {
      for (int head = 0; head < shape.kv_heads; head++) {
        copy(keys(layer, head), source.keys(layer, head), first_block, end_block);
        copy(values(layer, head), source.values(layer, head), first, end);
      }
    }
  }

  static int64_t BytesPerPosition(const ModelShape& shape) {
    return int64_t{2} * shape.layers * shape.kv_heads * shape.head_dim * (shape.half_cache ? 2 : 4);
  }

 private:
  uint8_t* At(int64_t plane, int head) const { return storage_.data() + (plane * kv_heads_ + head) * head_bytes_; }

  int kv_heads_;
  int64_t head_bytes_;
  Pages storage_;
};

}  // namespace onebit
