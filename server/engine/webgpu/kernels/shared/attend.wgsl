// Causal attention of one head of one row over positions [first, end) of the KV cache, in blocks of BLOCK positions
// with a running maximum (Dao et al. 2022, FlashAttention). Neighbouring lanes read neighbouring vectors of a key, so that
// what they read together is whole lines of memory; a block's values are asked for together with its keys.
const PAIRS: u32 = HEAD_DIM / 2u;
const VECTORS: u32 = PAIRS / VECTOR;
const STRIDE: u32 = KV_HEADS * VECTORS;
// Positions that the lanes read at once.
const KEYS: u32 = WORKGROUP / VECTORS;
const READS: u32 = (BLOCK + KEYS - 1u) / KEYS;

// One more for each position: without it lanes that add up neighbouring positions would meet in one bank.
var<workgroup> partScores: array<f32, BLOCK * (VECTORS + 1u)>;
var<workgroup> weights: array<f32, BLOCK>;
var<workgroup> partSums: array<vec2f, KEYS * PAIRS>;

struct Attended {
  largest: f32, // score
  total: f32, // Σ exp(score - largest)
  sum: vec2f, // Σ exp(score - largest) · value, of this lane's pair of elements; lanes below PAIRS have one
}

/// `place` is the row's position, its sequence's place in the bank, and the bank.
fn attend(head: u32, row: u32, place: vec4u, begin: u32, end: u32, lanes: Lanes) -> Attended {
  let lane = lanes.index;
  let part = lane % VECTORS;
  let key = lane / VECTORS;
  var query = array<vec2f, VECTOR>();
  for (var n = 0u; n < VECTOR; n++) {
    query[n] = queries[(row * HEADS + head) * PAIRS + part * VECTOR + n] / sqrt(f32(HEAD_DIM));
  }
  let start = place.y * CONTEXT * STRIDE + ((head * KV_HEADS) / HEADS) * VECTORS + part;
  var largest = -3.0e38;
  var total = 0.0;
  var sum = array<vec2f, VECTOR>();
  for (var first = begin; first < end; first += BLOCK) {
    let count = min(BLOCK, end - first);
    var read = array<KvVector, READS>();
    for (var r = 0u; r < READS; r++) {
      let i = r * KEYS + key;
      if (key < KEYS && i < count) {
        let at = start + (first + i) * STRIDE;
        let pairs = unpackVector(keys[at]);
        read[r] = values[at];
        var score = 0.0;
        for (var n = 0u; n < VECTOR; n++) {
          score += dot(query[n], pairs[n]);
        }
        partScores[i * (VECTORS + 1u) + part] = score;
      }
    }
    workgroupBarrier();
    var score = -3.0e38;
    if (lane < count) {
      score = 0.0;
      for (var v = 0u; v < VECTORS; v++) {
        score += partScores[lane * (VECTORS + 1u) + v];
      }
    }
    let newLargest = max(largest, workgroupMax(score, lanes));
    let shrink = exp(largest - newLargest);
    largest = newLargest;
    let weight = select(0.0, exp(score - largest), lane < count);
    if (lane < count) {
      weights[lane] = weight;
    }
    // workgroupSums has the barrier that the weights need.
    total = total * shrink + workgroupSums(array<f32, SUMS>(weight), lanes)[0];
    for (var n = 0u; n < VECTOR; n++) {
      sum[n] *= shrink;
    }
    for (var r = 0u; r < READS; r++) {
      let i = r * KEYS + key;
      if (key < KEYS && i < count) {
        let pairs = unpackVector(read[r]);
        for (var n = 0u; n < VECTOR; n++) {
          sum[n] += weights[i] * pairs[n];
        }
      }
    }
  }
  if (key < KEYS) {
    for (var n = 0u; n < VECTOR; n++) {
      partSums[key * PAIRS + part * VECTOR + n] = sum[n];
    }
  }
  workgroupBarrier();
  var pair = vec2f();
  if (lane < PAIRS) {
    for (var k = 0u; k < KEYS; k++) {
      pair += partSums[k * PAIRS + lane];
    }
  }
  return Attended(largest, total, pair);
}
