// What a loaded model holds, by part, without caches.
#pragma once

#include "engine/forward.h"
#include "engine/model.h"

namespace onebit {

struct ModelBytes {
  double signs = 0, values = 0, weights = 0, embedding = 0, head = 0, norms = 0, scratch = 0;
  double cache_position = 0;  // of one position of one sequence
};

// pass: null before it is made.
inline ModelBytes BytesOf(const Model& model, const ForwardPass* pass) {
  ModelBytes bytes;
  bytes.norms = static_cast<double>(4 * model.norm.size());
  for (const Layer& layer : model.layers) {
    bytes.norms += static_cast<double>(4 * (layer.input_norm.size() + layer.post_norm.size()));
    for (const Linear& linear : layer.linear) {
      bytes.signs += static_cast<double>(linear.signs.bytes());
      bytes.weights += static_cast<double>(linear.floats.storage.size());
      bytes.values += static_cast<double>(4 * (linear.g.size() + linear.h.size()));
      bytes.norms += static_cast<double>(4 * linear.bias.size());
    }
  }
  bytes.embedding = static_cast<double>(model.embedding.storage.size());
  bytes.head = static_cast<double>(model.head.storage.size()) + static_cast<double>(model.byte_head.bytes());
  const double rope = static_cast<double>(4 * (model.rope_cos.size() + model.rope_sin.size()));
  bytes.scratch = rope + (pass == nullptr ? 0 : static_cast<double>(pass->scratch_bytes()));
  bytes.cache_position = static_cast<double>(KvCache::BytesPerPosition(model.shape));
  return bytes;
}

}  // namespace onebit
