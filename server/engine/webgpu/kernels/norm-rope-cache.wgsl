// After the q, k and v products: each one's LayerNorm and bias, RoPE on q and k, and k and v into the KV cache.
// A workgroup makes WORKGROUP pairs of a projection (group.x: those of q, of k, of v) of a row (group.y); mean and
// variance each finds for itself. Rows of other banks are left to their own dispatch.
@group(0) @binding(0) var<storage, read> raw: array<vec2f>; // [rows, (Q_SIZE + 2 KV_SIZE) / 2]
@group(0) @binding(1) var<storage, read> bias: array<vec2f>; // [(Q_SIZE + 2 KV_SIZE) / 2], read with BIAS only
@group(0) @binding(2) var<storage, read> rows: array<vec4u>; // position, sequence's place in its bank, bank
@group(0) @binding(3) var<storage, read> turns: array<vec2f>; // [CONTEXT, HEAD_DIM / 2] cos, sin
@group(0) @binding(4) var<storage, read_write> queries: array<vec2f>; // [rows, Q_SIZE / 2]
@group(0) @binding(5) var<storage, read_write> keys: array<KvPair>; // [sequences, CONTEXT, KV_SIZE / 2]
@group(0) @binding(6) var<storage, read_write> values: array<KvPair>;

const HALF: u32 = HEAD_DIM / 2u;
const Q_PAIRS: u32 = Q_SIZE / 2u;
const KV_PAIRS: u32 = KV_SIZE / 2u;
const Q_GROUPS: u32 = (Q_PAIRS + WORKGROUP - 1u) / WORKGROUP;
const KV_GROUPS: u32 = (KV_PAIRS + WORKGROUP - 1u) / WORKGROUP;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.y;
  let place = rows[row];
  if (place.z != BANK) {
    return;
  }
  let isQuery = group.x < Q_GROUPS;
  let isValue = group.x >= Q_GROUPS + KV_GROUPS;
  let pairs = select(KV_PAIRS, Q_PAIRS, isQuery);
  let column = select(select(Q_PAIRS, Q_PAIRS + KV_PAIRS, isValue), 0u, isQuery);
  let slice = group.x - select(select(Q_GROUPS, Q_GROUPS + KV_GROUPS, isValue), 0u, isQuery);
  let start = row * (Q_PAIRS + 2u * KV_PAIRS) + column;
  let norm = layerNorm(start, pairs, lanes);
  let i = slice * WORKGROUP + lanes.index;
  if (i >= pairs) {
    return;
  }
  let own = normed(start, column, i, norm);
  let cached = (place.y * CONTEXT + place.x) * KV_PAIRS + i;
  if (isValue) {
    values[cached] = packPair(own);
    return;
  }
  let pair = vec2f(
    turned(start, column, 2u * i, own.x, place.x, norm),
    turned(start, column, 2u * i + 1u, own.y, place.x, norm),
  );
  if (isQuery) {
    queries[row * Q_PAIRS + i] = pair;
  } else {
    keys[cached] = packPair(pair);
  }
}

fn normed(start: u32, column: u32, pair: u32, norm: vec2f) -> vec2f {
  var value = (raw[start + pair] - norm.x) * norm.y;
  if (BIAS) {
    value += bias[column + pair];
  }
  return value;
}

/// RoPE in the half-rotated order of Hugging Face: elements i and i + HALF of a head turn together.
fn turned(start: u32, column: u32, i: u32, own: f32, position: u32, norm: vec2f) -> f32 {
  let turn = turns[position * HALF + i % HALF];
  let isFirst = i % HEAD_DIM < HALF;
  let other = select(i - HALF, i + HALF, isFirst);
  let across = normed(start, column, other / 2u, norm)[other % 2u];
  return own * turn.x + select(across, -across, isFirst) * turn.y;
}
