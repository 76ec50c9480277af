// The engine as WebAssembly: what binding.cc is to the addon, for server/native/wasm/worker.mjs. One instance's memory
// holds one model. Calls come from one thread; workers are in `work`. Memory that is not there is a trap.
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "engine/forward.h"
#include "engine/kv_cache.h"
#include "engine/model.h"
#include "engine/model_bytes.h"
#include "thread_pool.h"

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace onebit {
namespace {

struct Loaded {
  explicit Loaded(const ModelShape& shape) : model(shape, WasmKernels()) {}
  Model model;
  std::unique_ptr<ForwardPass> pass;
  std::map<int, KvCache> caches;
};

Loaded* loaded = nullptr;

// What a block of rows is made of; JavaScript writes it.
struct BlockRows {
  int32_t tokens[ForwardPass::kMaxRows];
  int32_t positions[ForwardPass::kMaxRows];
  int32_t caches[ForwardPass::kMaxRows];
  int32_t wanted_rows[ForwardPass::kMaxRows];
  int32_t counts[ForwardPass::kMaxRows];  // of the most likely tokens; 0: logits
};
constexpr int kMostTop = 64;

BlockRows block_rows;
int32_t top_ids[ForwardPass::kMaxRows * kMostTop];
float top_values[ForwardPass::kMaxRows * (kMostTop + 1)];
float* logits = nullptr;  // [wanted][vocab], of the rows whose logits are wanted
int64_t logits_size = 0;

Linear& LinearAt(int layer, int projection) {
  return loaded->model.layers[static_cast<size_t>(layer)].linear[projection];
}

}  // namespace

EXPORT(create)
void Create(int hidden, int intermediate, int layers, int heads, int kv_heads, int head_dim, int vocab, int context,
            float rms_eps, float layer_norm_eps, double rope_theta, int tied, int exact, int half_cache) {
  ModelShape shape;
  shape.hidden = hidden;
  shape.intermediate = intermediate;
  shape.layers = layers;
  shape.heads = heads;
  shape.kv_heads = kv_heads;
  shape.head_dim = head_dim;
  shape.vocab = vocab;
  shape.context = context;
  shape.rms_eps = rms_eps;
  shape.layer_norm_eps = layer_norm_eps;
  shape.rope_theta = rope_theta;
  shape.tied = tied != 0;
  shape.exact = exact != 0;
  shape.half_cache = half_cache != 0;
  loaded = new Loaded(shape);
}

EXPORT(allocate) void* Allocate(size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) __builtin_trap();
  return memory;
}

EXPORT(release) void Release(void* memory) { std::free(memory); }

// slot: 0 embedding, 1 head, 2 weights, 3 signs; dtype: 0 F32, 1 F16, 2 BF16, 3 U8. The bytes come from read_tensor.
EXPORT(load_matrix)
int LoadMatrix(int slot, int layer, int projection, int out, int in, int dtype, double bytes) {
  TensorSource source;
  source.bytes = static_cast<int64_t>(bytes);
  const auto type = static_cast<FloatType>(dtype);
  Model& model = loaded->model;
  const Kernels& kernels = model.kernels;
  if (slot < 2) return static_cast<int>(LoadFloats(source, type, out, in, model.pool, slot == 1 ? &model.head : &model.embedding));
  Linear& linear = LinearAt(layer, projection);
  linear.out = out;
  linear.in = in;
  linear.is_signs = slot == 3;
  if (slot == 2) return static_cast<int>(LoadFloats(source, type, out, in, model.pool, &linear.floats));
  if (dtype == 3) return static_cast<int>(LoadPackedSigns(source, kernels, out, in, model.pool, &linear.signs));
  return static_cast<int>(LoadLatentSigns(source, type, kernels, out, in, model.pool, &linear.signs));
}

// name: 0 g, 1 h, 2 bias, 3 inputNorm, 4 postNorm, 5 norm
EXPORT(set_vector) void SetVector(int name, int layer, int projection, const float* values, int count) {
  std::vector<float> copy(values, values + count);
  Model& model = loaded->model;
  if (name == 5) model.norm = std::move(copy);
  else if (name == 4) model.layers[static_cast<size_t>(layer)].post_norm = std::move(copy);
  else if (name == 3) model.layers[static_cast<size_t>(layer)].input_norm = std::move(copy);
  else if (name == 2) LinearAt(layer, projection).bias = std::move(copy);
  else if (name == 1) LinearAt(layer, projection).h = std::move(copy);
  else LinearAt(layer, projection).g = std::move(copy);
}

EXPORT(round_head) void RoundHead() { loaded->model.RoundHead(); }

// Takes the scratch memory; from now on passes run on `threads` threads.
EXPORT(prepare) void Prepare(int threads) {
  loaded->pass = std::make_unique<ForwardPass>(loaded->model);
  ThreadPool::Shared().SetThreads(threads);
}

EXPORT(open_cache) void OpenCache(int id) { loaded->caches.emplace(id, loaded->model.shape); }
EXPORT(close_cache) void CloseCache(int id) { loaded->caches.erase(id); }
EXPORT(copy_cache) void CopyCache(int from, int to, int first, int end) {
  loaded->caches.at(to).CopyFrom(loaded->caches.at(from), loaded->model.shape, first, end);
}

EXPORT(block_rows) BlockRows* Rows() { return &block_rows; }
EXPORT(top_ids) int32_t* TopIds() { return top_ids; }
EXPORT(top_values) float* TopValues() { return top_values; }
EXPORT(cancel_flag) void* CancelFlag() { return &loaded->pass->cancelled(); }
// Of the last pass: the logits of its wanted rows, without those of which only the most likely tokens were.
EXPORT(logits) float* Logits() { return logits; }

// Runs block_rows; 0 where it was cancelled.
EXPORT(forward) int Forward(int rows, int wanted) {
  const int64_t vocab = loaded->model.shape.vocab;
  KvCache* caches[ForwardPass::kMaxRows];
  float* targets[ForwardPass::kMaxRows];
  TopTokens tops[ForwardPass::kMaxRows];
  for (int i = 0; i < rows; i++) caches[i] = &loaded->caches.at(block_rows.caches[i]);
  int64_t size = 0;
  for (int i = 0; i < wanted; i++) size += block_rows.counts[i] > 0 ? 0 : vocab;
  if (size > logits_size) {
    std::free(logits);
    logits = static_cast<float*>(Allocate(sizeof(float) * static_cast<size_t>(size)));
    logits_size = size;
  }
  float* next = logits;
  for (int i = 0; i < wanted; i++) {
    tops[i] = {};
    if (const int count = block_rows.counts[i]; count > 0) {
      float* found = top_values + i * (kMostTop + 1);
      tops[i] = {count, top_ids + i * kMostTop, found + 1, found};
    } else {
      targets[i] = next;
      next += vocab;
    }
  }
  const ForwardBlock block = {rows, block_rows.tokens, block_rows.positions, caches, wanted, block_rows.wanted_rows, targets, tops};
  return loaded->pass->Run(block) ? 1 : 0;
}

// Eight numbers in the order of ModelBytes.
EXPORT(bytes) ModelBytes* Bytes() {
  static ModelBytes bytes;
  bytes = BytesOf(loaded->model, loaded->pass.get());
  return &bytes;
}

// A worker's entry, which it never leaves.
EXPORT(work) void Work() { ThreadPool::Shared().Work(); }

}  // namespace onebit
