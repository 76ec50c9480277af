// The weights of a LLaMA-family model in memory, full precision or 1-bit.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/byte_matrix.h"
#include "engine/kernels.h"
#include "engine/pages.h"
#include "engine/sign_matrix.h"
#include "engine/tensor_source.h"

namespace onebit {

struct ModelShape {
  int hidden = 0;
  int intermediate = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int vocab = 0;
  int context = 0;  // positions a sequence may hold
  float rms_eps = 0;
  float layer_norm_eps = 0;
  double rope_theta = 0;
  bool tied = false;   // the head is the embedding
  bool exact = false;  // f32 activations in 1-bit products
  bool half_cache = false;  // keys and values in fp16
};

// A matrix [out, in] of floats as the checkpoint stores them.
struct FloatMatrix {
  int out = 0;
  int in = 0;
  FloatType type = FloatType::kF32;
  Pages storage;

  int element_bytes() const { return type == FloatType::kF32 ? 4 : 2; }
  const uint8_t* row(int64_t index) const { return storage.data() + index * in * element_bytes(); }
};

// y = x Wᵀ (+ bias), or the 1-bit layer y = LayerNorm(((x ⊙ g) Sᵀ) ⊙ h) (+ bias).
struct Linear {
  int out = 0;
  int in = 0;
  bool is_signs = false;
  SignMatrix signs;
  FloatMatrix floats;
  std::vector<float> g, h, bias;
};

// Order of the linears of a layer, as in the TypeScript list of projections.
enum Projection { kQ, kK, kV, kO, kGate, kUp, kDown, kProjections };

struct Layer {
  Linear linear[kProjections];
  std::vector<float> input_norm, post_norm;
};

enum class LoadResult { kOk, kUnreadable, kNotFinite };

struct Model {
  Model(const ModelShape& shape, const Kernels& kernels);

  const ModelShape shape;
  const Kernels& kernels;
  PagePool pool;  // of the weights
  std::vector<Layer> layers;
  std::vector<float> norm;
  FloatMatrix embedding;
  FloatMatrix head;  // empty where tied, and where there is one in 8 bits
  ByteMatrix byte_head;
  // cos and sin of every position, [context, head_dim/2].
  std::vector<float> rope_cos, rope_sin;

  const FloatMatrix& Head() const { return shape.tied ? embedding : head; }
  // Goes on with a head of 8 bits a weight. A tied embedding stays: tokens are looked up in it.
  void RoundHead();
};

// Read a tensor of the given shape with all threads. The sources hold out·in elements, or
// out·in/8 bytes of packed signs; kNotFinite if a float is NaN or infinite.
LoadResult LoadFloats(const TensorSource& source, FloatType type, int out, int in, PagePool& pool, FloatMatrix* matrix);
LoadResult LoadPackedSigns(const TensorSource& source, const Kernels& kernels, int out, int in, PagePool& pool,
                           SignMatrix* matrix);
// Float latents of a checkpoint in training: only their signs are kept.
LoadResult LoadLatentSigns(const TensorSource& source, FloatType type, const Kernels& kernels, int out, int in,
                           PagePool& pool, SignMatrix* matrix);

}  // namespace onebit
