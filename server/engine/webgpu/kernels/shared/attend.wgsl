// Causal attention of one head of one row over positions [first, end) of the KV cache, in blocks of WORKGROUP positions
// with a running maximum (Dao et al. 2022, FlashAttention).
const PAIRS: u32 = HEAD_DIM / 2u;
// Lanes that share a pair of elements and divide the positions among them.
const SHARES: u32 = WORKGROUP / PAIRS;
const STRIDE: u32 = KV_HEADS * PAIRS;

var<workgroup> query: array<f32, HEAD_DIM>;
var<workgroup> weights: array<f32, WORKGROUP>;
var<workgroup> partSums: array<vec2f, WORKGROUP>;

struct Attended {
  largest: f32, // score
  total: f32, // Σ exp(score - largest)
  sum: vec2f, // Σ exp(score - largest) · value, of this lane's pair of elements; lanes below PAIRS have one
}

/// `place` is the row's position, its sequence's place in the bank, and the bank.
fn attend(head: u32, row: u32, place: vec4u, begin: u32, end: u32, lanes: Lanes) -> Attended {
  let lane = lanes.index;
  for (var i = lane; i < HEAD_DIM; i += WORKGROUP) {
    query[i] = queries[(row * HEADS + head) * HEAD_DIM + i] / sqrt(f32(HEAD_DIM));
  }
  workgroupBarrier();
  let start = place.y * CONTEXT * STRIDE + ((head * KV_HEADS) / HEADS) * PAIRS;
  var largest = -3.0e38;
  var total = 0.0;
  var sum = vec2f();
  for (var first = begin; first < end; first += WORKGROUP) {
    let position = first + lane;
    var score = -3.0e38;
    if (position < end) {
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
    let weight = select(0.0, exp(score - largest), position < end);
    weights[lane] = weight;
    // workgroupSums has the barrier that the weights need.
    total = total * shrink + workgroupSums(array<f32, SUMS>(weight), lanes)[0];
    sum *= shrink;
    if (lane < SHARES * PAIRS) {
      for (var i = lane / PAIRS; i < min(WORKGROUP, end - first); i += SHARES) {
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
  }
  return Attended(largest, total, sum);
}
