#include "engine/forward.h"

#include <cmath>
#include <cstring>

#include "thread_pool.h"

namespace onebit {
namespace {

// Rows of activations whose look-up tables are made together: those of a stage then stay in the L3 cache.
constexpr int kTableRows = 64;
// Ranges of a 1-bit product that a thread draws with few tokens and with many: few, because a range has to be
// long (sign_matrix.h).
constexpr int kFewDraws = 1;
constexpr int kManyDraws = 2;
// Heads of one row that attend together where they share keys and values.
constexpr int kHeadsAtOnce = 8;
// Rows of a float product that are one task.
constexpr int kFloatRows = 64;
// Rows of a float matrix that a few tokens go through side by side; one token reads row after row.
constexpr int kFloatTile = 4;
constexpr int kFewRows = 4;
// Rows of activations up to which each thread makes its own tables: those of a column block fit in the L1 cache.
constexpr int kOwnTableRows = 8;
// Stages of a layer, and those before and after the layers.
constexpr int kLayerStages = 7 + 4 * 2 * ((ForwardPass::kMaxRows + kTableRows - 1) / kTableRows);
constexpr int kOtherStages = 5;
// Products that are worth a thread: less, and the barriers cost more than the thread brings.
constexpr double kSignWork = 8e6;
constexpr double kFloatWork = 1e6;

int64_t RoundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
int Min(int a, int b) { return a < b ? a : b; }
int ColumnBlocks(int columns) { return (columns + kColumnBlock - 1) / kColumnBlock; }

// Bytes of one token's look-up tables of a full column block of a linear with `in` columns.
int64_t TableStride(int in, const Kernels& kernels, int precision) {
  return kernels.table_header_bytes[precision] +
         RoundUp(Min(in, kColumnBlock), kTableColumns) / kTableColumns * kernels.table_bytes[precision];
}

}  // namespace

ForwardPass::ForwardPass(const Model& model)
    : model_(model), kernels_(model.kernels), precision_(model.shape.exact ? kExact : kDefault),
      team_(model.shape.layers * kLayerStages + kOtherStages) {
  const ModelShape& s = model.shape;
  hidden_stride_ = RoundUp(s.hidden, kSignLanes);
  query_stride_ = RoundUp(int64_t{s.heads} * s.head_dim, kSignLanes);
  kv_stride_ = RoundUp(int64_t{s.kv_heads} * s.head_dim, kSignLanes);
  inner_stride_ = RoundUp(s.intermediate, kSignLanes);
  const int64_t row = 3 * hidden_stride_ + 2 * query_stride_ + 2 * kv_stride_ + 2 * inner_stride_;
  activations_ = Pages(sizeof(float) * kMaxRows * static_cast<size_t>(row), Pages::Use::kSparse);
  float* next = activations_.as<float>();
  const auto take = [&](int64_t stride) {
    float* start = next;
    next += kMaxRows * stride;
    return start;
  };
  hidden_ = take(hidden_stride_);
  normed_ = take(hidden_stride_);
  projected_ = take(hidden_stride_);
  q_ = take(query_stride_);
  attended_ = take(query_stride_);
  k_ = take(kv_stride_);
  v_ = take(kv_stride_);
  gate_ = take(inner_stride_);
  up_ = take(inner_stride_);
  score_stride_ = RoundUp(s.context, kKeyLanes);
  scores_ = Pages(sizeof(float) * kMaxThreads * kHeadsAtOnce * static_cast<size_t>(score_stride_), Pages::Use::kSparse);

  logits_ = Pages(sizeof(float) * kMaxRows * static_cast<size_t>(s.vocab), Pages::Use::kSparse);

  for (const Layer& layer : model.layers) {
    for (const Linear& linear : layer.linear) {
      row_work_ += static_cast<double>(linear.out) * linear.in / (linear.is_signs ? kSignWork : kFloatWork);
    }
  }
  if (s.layers > 0 && model.layers[0].linear[kQ].is_signs) {
    int64_t row_bytes = 0, row_scales = 0;  // of the tables of one row
    const auto stage = [&](int linears, int in) {
      const int64_t count = int64_t{linears} * ColumnBlocks(in);
      const int64_t size = count * TableStride(in, kernels_, precision_);
      row_bytes = size > row_bytes ? size : row_bytes;
      row_scales = count > row_scales ? count : row_scales;
    };
    stage(3, s.hidden);
    stage(1, s.heads * s.head_dim);
    stage(1, s.intermediate);
    const auto take = [&](int64_t rows, int64_t sets, Pages::Use use) {
      const int64_t bytes = rows * row_bytes;
      const int64_t size = RoundUp(bytes + rows * row_scales * static_cast<int64_t>(sizeof(float)), 4096);
      return Tables{Pages(static_cast<size_t>(sets * size), use), bytes, size};
    };
    shared_tables_ = take(kTableRows, 1, Pages::Use::kStreamed);
    own_tables_ = take(kOwnTableRows, kMaxThreads, Pages::Use::kSparse);
  }
}

bool ForwardPass::Run(const ForwardBlock& block) {
  stop_.store(false);
  team_.Restart();
  const double worthwhile = row_work_ * block.rows;
  const int most = Min(worthwhile < kMaxThreads ? static_cast<int>(worthwhile) : kMaxThreads,
                       ThreadPool::Shared().threads());
  if (most <= 1) {
    RunThread(block, team_.Join(1));
  } else {
    ThreadPool::Shared().Share([&] {
      const Team::Member member = team_.Join(most);
      if (member.index < most) RunThread(block, member);
    });
  }
  return !stop_.load();
}

void ForwardPass::RunThread(const ForwardBlock& block, Team::Member member) {
  const ModelShape& s = model_.shape;
  const int rows = block.rows;
  team_.Share(member, rows, [&](int row) {
    const FloatMatrix& embedding = model_.embedding;
    float* x = hidden_ + row * hidden_stride_;
    kernels_.widen[static_cast<int>(embedding.type)](embedding.row(block.tokens[row]), s.hidden, x);
    kernels_.rms_norm(x, model_.layers[0].input_norm.data(), s.hidden, s.rms_eps, normed_ + row * hidden_stride_);
  });
  for (int l = 0; l < s.layers; l++) {
    // A thread that is late may see the answer of a later layer; the others then do without it.
    if (stop_.load(std::memory_order_relaxed)) return;
    const Layer& layer = model_.layers[static_cast<size_t>(l)];
    const Linear* linear = layer.linear;

    const Product attention[3] = {{&linear[kQ], normed_, hidden_stride_, q_, query_stride_},
                                  {&linear[kK], normed_, hidden_stride_, k_, kv_stride_},
                                  {&linear[kV], normed_, hidden_stride_, v_, kv_stride_}};
    Multiply(member, attention, 3, rows);
    team_.Share(member, 3 * rows, [&](int task) {
      const Product& product = attention[task % 3];
      Finish(*product.linear, product.y + task / 3 * product.y_stride);
    });
    team_.Share(member, rows, [&](int row) { Rotate(block, l, row); });
    int together = kHeadsAtOnce;
    while (together > 1 && (s.heads / s.kv_heads % together != 0 || rows * s.heads < together * member.threads)) together /= 2;
    const int parts = s.heads / together;
    team_.Share(member, rows * parts, [&](int task) {
      Attend(block, l, task / parts, task % parts * together, together, member.index);
    });
    const Product output = {&linear[kO], attended_, query_stride_, projected_, hidden_stride_};
    Multiply(member, &output, 1, rows);
    // What ends both halves of a layer: the residual, and the norm of what comes next.
    const auto residual = [&](const Linear& last, const std::vector<float>& gain) {
      team_.Share(member, rows, [&](int row) {
        float* x = hidden_ + row * hidden_stride_;
        float* y = projected_ + row * hidden_stride_;
        Finish(last, y);
        kernels_.add(x, y, s.hidden);
        kernels_.rms_norm(x, gain.data(), s.hidden, s.rms_eps, normed_ + row * hidden_stride_);
        if (row == 0) stop_.store(cancelled_.load(std::memory_order_relaxed), std::memory_order_relaxed);
      });
    };
    residual(linear[kO], layer.post_norm);

    const Product inner[2] = {{&linear[kGate], normed_, hidden_stride_, gate_, inner_stride_},
                              {&linear[kUp], normed_, hidden_stride_, up_, inner_stride_}};
    Multiply(member, inner, 2, rows);
    team_.Share(member, 2 * rows, [&](int task) {
      const Product& product = inner[task % 2];
      Finish(*product.linear, product.y + task / 2 * product.y_stride);
    });
    const int pieces = ColumnBlocks(s.intermediate);
    team_.Share(member, pieces * rows, [&](int task) {
      const int first = task % pieces * kColumnBlock;
      const int64_t at = task / pieces * inner_stride_ + first;
      kernels_.swiglu(gate_ + at, up_ + at, Min(kColumnBlock, s.intermediate - first));
    });
    const Product down = {&linear[kDown], gate_, inner_stride_, projected_, hidden_stride_};
    Multiply(member, &down, 1, rows);
    const bool is_last = l + 1 == s.layers;
    residual(linear[kDown], is_last ? model_.norm : model_.layers[static_cast<size_t>(l) + 1].input_norm);
  }
  if (block.wanted > 0) Logits(member, block);
}

// y = x times the linears' weights, all rows of all of them; Finish makes layers of it.
void ForwardPass::Multiply(Team::Member& member, const Product* products, int count, int rows) {
  const bool is_signs = products[0].linear->is_signs;
  // Of few rows each thread makes the tables that it needs, in memory of its own: that is faster than to wait
  // for others and to fetch theirs from another core's cache.
  const bool is_own = is_signs && rows <= kOwnTableRows;
  const Tables& tables = is_own ? own_tables_ : shared_tables_;
  int tasks[3], total = 0;
  for (int p = 0; p < count; p++) {
    const Linear& linear = *products[p].linear;
    total += tasks[p] = is_signs ? linear.signs.blocks() : (linear.out + kFloatRows - 1) / kFloatRows;
  }
  const int most = is_signs ? kTableRows : rows;
  for (int row = 0; row < rows; row += most) {
    const int n = Min(most, rows - row);
    TabledProduct parts[3];
    for (int p = 0; p < count; p++) {
      parts[p] = {products[p], nullptr, 0, nullptr};
      parts[p].x += row * parts[p].x_stride;
      parts[p].y += row * parts[p].y_stride;
      if (!is_signs) continue;
      const int64_t made = int64_t{p} * ColumnBlocks(parts[p].linear->in) * n;
      uint8_t* set = tables.pages.data() + (is_own ? member.index * tables.set_bytes : 0);
      parts[p].stride = TableStride(parts[p].linear->in, kernels_, precision_);
      parts[p].tables = set + made * parts[p].stride;
      parts[p].scales = reinterpret_cast<float*>(set + tables.scales_at) + made;
    }
    if (is_signs && !is_own) {
      const int made = ColumnBlocks(parts[0].linear->in) * n;
      team_.Share(member, count * made, [&](int task) { MakeTable(parts[task / made], task % made, n); });
    }
    bool has_tables[3] = {!is_own, !is_own, !is_own};
    const int draws = member.threads * (is_own ? kFewDraws : kManyDraws);
    const int least = is_signs ? (total + draws - 1) / draws : 1;
    team_.ShareRanges(member, total, least, [&](int first, int end) {
      for (int p = 0, start = 0; p < count && start < end; start += tasks[p++]) {
        const TabledProduct& part = parts[p];
        const int from = first > start ? first - start : 0;
        const int to = Min(end - start, tasks[p]);
        if (from >= to) continue;
        if (is_signs) {
          MultiplySigns(part, from, to, n, !has_tables[p]);
          has_tables[p] = true;
        } else {
          float* y[kMaxRows];
          for (int t = 0; t < n; t++) y[t] = part.y + t * part.y_stride + from * kFloatRows;
          MultiplyFloats(part.linear->floats, part.x, part.x_stride, n, from * kFloatRows, (to - from) * kFloatRows, y);
        }
      }
    });
  }
}

// Tables lie as [column block][row], their scales likewise.
void ForwardPass::MakeTable(const TabledProduct& product, int index, int rows) {
  const int column = index / rows * kColumnBlock;
  const Linear& linear = *product.linear;
  const float* x = product.x + index % rows * product.x_stride + column;
  kernels_.make_table[precision_](x, linear.g.data() + column, Min(kColumnBlock, linear.in - column),
                                  product.tables + index * product.stride, product.scales + index);
}

// Row blocks [first, end) of one product. With `makes_tables`, each column block's tables are made before they are
// first needed, so that they are in the L1 cache then.
void ForwardPass::MultiplySigns(const TabledProduct& product, int first, int end, int rows, bool makes_tables) {
  const SignMatrix& signs = product.linear->signs;
  const int in = product.linear->in;
  const int band = SignMatrix::kBandRows / signs.block_rows();
  for (int next; first < end; first = next) {
    next = Min(end, (first / band + 1) * band);
    for (int column = 0; column < in; column += kColumnBlock) {
      for (int row = 0; makes_tables && row < rows; row++) MakeTable(product, column / kColumnBlock * rows + row, rows);
      for (int token = 0; token < rows; token += kernels_.token_tile) {
        const int64_t made = int64_t{column / kColumnBlock} * rows + token;
        float* y = product.y + token * product.y_stride;
        for (int block = first; block < next; block++) {
          kernels_.sign_block[precision_](signs.words(block, column), signs.groups(block), Min(kColumnBlock, in - column),
                                          product.tables + made * product.stride, product.stride, product.scales + made,
                                          Min(kernels_.token_tile, rows - token),
                                          y + int64_t{block} * signs.block_rows(), product.y_stride, column > 0);
        }
      }
    }
    makes_tables = false;
  }
}

// Rows [first_row, first_row + count) of the matrix. The columns are summed in the same blocks whatever
// the number of rows, so that a token's result does not depend on what runs beside it.
void ForwardPass::MultiplyFloats(const FloatMatrix& matrix, const float* x, int64_t x_stride, int rows, int first_row,
                                 int count, float* const* y) {
  const auto kernel = kernels_.float_rows[static_cast<int>(matrix.type)];
  const int end = Min(first_row + count, matrix.out);
  if (rows == 1) return kernel(matrix.row(first_row), matrix.in, end - first_row, matrix.in, x, x_stride, 1, y, false);
  // A few tokens stream a few rows from end to end; many keep a column block of their inputs in the cache.
  const int step = rows <= kFewRows ? kFloatTile : end - first_row;
  for (int row = first_row; row < end; row += step) {
    float* targets[kMaxRows];
    for (int t = 0; t < rows; t++) targets[t] = y[t] + (row - first_row);
    for (int column = 0; column < matrix.in; column += kFloatColumns) {
      kernel(matrix.row(row) + int64_t{column} * matrix.element_bytes(), matrix.in, Min(step, end - row),
             Min(kFloatColumns, matrix.in - column), x + column, x_stride, rows, targets, column > 0);
    }
  }
}

// One row after its product: h, LayerNorm and bias of a 1-bit layer; the bias of a float one.
void ForwardPass::Finish(const Linear& linear, float* y) {
  const float* bias = linear.bias.empty() ? nullptr : linear.bias.data();
  if (linear.is_signs) kernels_.finish_signs(y, linear.h.data(), bias, linear.out, model_.shape.layer_norm_eps);
  else if (bias != nullptr) kernels_.add(y, bias, linear.out);
}

// RoPE on one row's q and k, then its k and v into the cache.
void ForwardPass::Rotate(const ForwardBlock& block, int layer, int row) {
  const ModelShape& s = model_.shape;
  const int position = block.positions[row];
  const int64_t angle = int64_t{position} * (s.head_dim / 2);
  const float* cos = model_.rope_cos.data() + angle;
  const float* sin = model_.rope_sin.data() + angle;
  float* k = k_ + row * kv_stride_;
  const float* v = v_ + row * kv_stride_;
  kernels_.rope(q_ + row * query_stride_, cos, sin, s.heads, s.head_dim);
  kernels_.rope(k, cos, sin, s.kv_heads, s.head_dim);
  const KvCache& cache = *block.caches[row];
  const int type = s.half_cache ? 1 : 0;
  for (int head = 0; head < s.kv_heads; head++) {
    kernels_.store_key[type](k + head * s.head_dim, s.head_dim, position, cache.keys(layer, head));
    kernels_.store_value[type](v + head * s.head_dim, s.head_dim, position, cache.values(layer, head));
  }
}

// `heads` heads of one row from `head` on, which share keys and values.
void ForwardPass::Attend(const ForwardBlock& block, int layer, int row, int head, int heads, int thread) {
  const ModelShape& s = model_.shape;
  const KvCache& cache = *block.caches[row];
  const int kv_head = head / (s.heads / s.kv_heads);
  const int64_t at = row * query_stride_ + int64_t{head} * s.head_dim;
  kernels_.attend[s.half_cache ? 1 : 0](q_ + at, heads, cache.keys(layer, kv_head), cache.values(layer, kv_head),
                                        block.positions[row] + 1, s.head_dim,
                                        1.0f / std::sqrt(static_cast<float>(s.head_dim)),
                                        scores_.as<float>() + thread * kHeadsAtOnce * score_stride_, score_stride_,
                                        attended_ + at);
}

// The rows of `normed_` have been through the final norm; those that are wanted, times the head.
void ForwardPass::Logits(Team::Member& member, const ForwardBlock& block) {
  const ModelShape& s = model_.shape;
  const float* x = normed_;
  if (block.wanted < block.rows) {
    x = projected_;
    team_.Share(member, block.wanted, [&](int i) {
      std::memcpy(projected_ + i * hidden_stride_, normed_ + block.wanted_rows[i] * hidden_stride_,
                  sizeof(float) * static_cast<size_t>(s.hidden));
    });
  }
  const auto logits = [&](int i) {
    return block.tops[i].count > 0 ? logits_.as<float>() + int64_t{i} * s.vocab : block.logits[i];
  };
  bool has_tops = false;
  for (int i = 0; i < block.wanted; i++) has_tops |= block.tops[i].count > 0;
  team_.ShareRanges(member, (s.vocab + kFloatRows - 1) / kFloatRows, 1, [&](int first, int end) {
    float* y[kMaxRows];
    for (int i = 0; i < block.wanted; i++) y[i] = logits(i) + first * kFloatRows;
    const ByteMatrix& bytes = model_.byte_head;
    if (bytes.out > 0) {
      const int row = first * kFloatRows;
      kernels_.byte_rows(bytes.group(row / kByteRows), bytes.scales.data() + row, Min(end * kFloatRows, s.vocab) - row,
                         s.hidden, x, hidden_stride_, block.wanted, y);
      return;
    }
    MultiplyFloats(model_.Head(), x, hidden_stride_, block.wanted, first * kFloatRows, (end - first) * kFloatRows, y);
  });
  if (!has_tops) return;
  team_.Share(member, block.wanted, [&](int i) {
    const TopTokens& top = block.tops[i];
    if (top.count > 0) kernels_.top(logits(i), s.vocab, top.count, top.ids, top.logits, top.log_sum_exp);
  });
}

}  // namespace onebit
