// Causal attention of one row (group.y) and head (group.x) over the KV cache, in blocks of WORKGROUP positions
// with a running maximum (Dao et al. 2022, FlashAttention); multiplied by the g of the o projection.
@group(0) @binding(0) var<storage, read> queries: array<f32>; // [rows, HEADS, HEAD_DIM]
@group(0) @binding(1) var<storage, read> rows: array<vec4u>; // position, sequence's place in its bank, bank
@group(0) @binding(2) var<storage, read> keys: array<KvPair>; // [sequences, CONTEXT, KV_HEADS, HEAD_DIM / 2]
@group(0) @binding(3) var<storage, read> values: array<KvPair>;
@group(0) @binding(4) var<storage, read> factors: array<f32>; // [HEADS, HEAD_DIM] g
@group(0) @binding(5) var<storage, read_write> scaled: array<Scaled>;

const PAIRS: u32 = HEAD_DIM / 2u;
// Lanes that share a pair of elements and divide the positions among them.
const SHARES: u32 = WORKGROUP / PAIRS;
const STRIDE: u32 = KV_HEADS * PAIRS;

var<workgroup> query: array<f32, HEAD_DIM>;
var<workgroup> weights: array<f32, WORKGROUP>;
var<workgroup> partSums: array<vec2f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let row = group.y;
  let place = rows[row];
  if (place.z != BANK) {
    return;
  }
  let lane = lanes.index;
  for (var i = lane; i < HEAD_DIM; i += WORKGROUP) {
    query[i] = queries[(row * HEADS + head) * HEAD_DIM + i] / sqrt(f32(HEAD_DIM));
  }
  workgroupBarrier();
  let start = place.y * CONTEXT * STRIDE + ((head * KV_HEADS) / HEADS) * PAIRS;
  let count = place.x + 1u;
  var largest = -3.0e38;
  var total = 0.0;
  var sum = vec2f();
  for (var first = 0u; first < count; first += WORKGROUP) {
    let position = first + lane;
    var score = -3.0e38;
    if (position < count) {
      score = 0.0;
      let key = start + position * STRIDE;
      for (var i = 0u; i < PAIRS; i++) {
        let pair = unpackPair(keys[key + i]);
        score += query[2u * i] * pair.x + query[2u * i + 1u] * pair.y;
      }
    }
    let newLargest = max(largest, workgroupMax(score, lanes));
    let shrink = exp(largest - newLargest);
    largest = newLargest;
    let weight = select(0.0, exp(score - largest), position < count);
    weights[lane] = weight;
    // workgroupSums has the barrier that the weights need.
    total = total * shrink + workgroupSums(array<f32, SUMS>(weight), lanes)[0];
    sum *= shrink;
    if (lane < SHARES * PAIRS) {
      for (var i = lane / PAIRS; i < min(WORKGROUP, count - first); i += SHARES) {
        sum += weights[i] * unpackPair(values[start + (first + i) * STRIDE + lane % PAIRS]);
      }
    }
    workgroupBarrier();
  }
  partSums[lane] = sum;
  workgroupBarrier();
  if (lane < PAIRS) {
    for (var share = 1u; share < SHARES; share++) {
      sum += partSums[share * PAIRS + lane];
    }
    sum /= total;
    let k = head * HEAD_DIM + 2u * lane;
    scaled[scaledIndex(0u, row, k, WORDS)] = scaledValue(sum.x * factors[k]);
    scaled[scaledIndex(0u, row, k + 1u, WORDS)] = scaledValue(sum.y * factors[k + 1u]);
  }
}
