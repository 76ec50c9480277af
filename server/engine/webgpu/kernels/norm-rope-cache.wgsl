// After the q, k and v products: each one's LayerNorm and bias, RoPE on q and k, and k and v into the KV cache.
// One workgroup for each projection (group.x) of a row (group.y). Rows of other banks are left to their own
// dispatch.
@group(0) @binding(0) var<storage, read> raw: array<f32>; // [rows, Q_SIZE + 2 KV_SIZE]
@group(0) @binding(1) var<storage, read> bias: array<f32>; // [Q_SIZE + 2 KV_SIZE], read with BIAS only
@group(0) @binding(2) var<storage, read> rows: array<vec4u>; // position, sequence's place in its bank, bank
@group(0) @binding(3) var<storage, read> turns: array<vec2f>; // [CONTEXT, HEAD_DIM / 2] cos, sin
@group(0) @binding(4) var<storage, read_write> queries: array<vec2f>; // [rows, Q_SIZE / 2]
@group(0) @binding(5) var<storage, read_write> keys: array<KvPair>; // [sequences, CONTEXT, KV_SIZE / 2]
@group(0) @binding(6) var<storage, read_write> values: array<KvPair>;

const HALF: u32 = HEAD_DIM / 2u;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.y;
  let place = rows[row];
  if (place.z != BANK) {
    return;
  }
  let size = select(KV_SIZE, Q_SIZE, group.x == 0u);
  let column = select(Q_SIZE + (group.x - 1u) * KV_SIZE, 0u, group.x == 0u);
  let start = row * (Q_SIZE + 2u * KV_SIZE) + column;
  let norm = layerNorm(start, size, lanes);
  let cached = (place.y * CONTEXT + place.x) * (KV_SIZE / 2u);
  for (var i = lanes.index; i < size / 2u; i += WORKGROUP) {
    if (group.x == 2u) {
      let pair = vec2f(normed(start, column, 2u * i, norm), normed(start, column, 2u * i + 1u, norm));
      values[cached + i] = packPair(pair);
      continue;
    }
    let pair = vec2f(
      turned(start, column, 2u * i, place.x, norm),
      turned(start, column, 2u * i + 1u, place.x, norm),
    );
    if (group.x == 0u) {
      queries[row * (Q_SIZE / 2u) + i] = pair;
    } else {
      keys[cached + i] = packPair(pair);
    }
  }
}

fn normed(start: u32, column: u32, i: u32, norm: vec2f) -> f32 {
  var value = (raw[start + i] - norm.x) * norm.y;
  if (BIAS) {
    value += bias[column + i];
  }
  return value;
}

/// RoPE in the half-rotated order of Hugging Face: elements i and i + HALF of a head turn together.
fn turned(start: u32, column: u32, i: u32, position: u32, norm: vec2f) -> f32 {
  let turn = turns[position * HALF + i % HALF];
  let own = normed(start, column, i, norm);
  if (i % HEAD_DIM < HALF) {
    return own * turn.x - normed(start, column, i + HALF, norm) * turn.y;
  }
  return own * turn.x + normed(start, column, i - HALF, norm) * turn.y;
}
