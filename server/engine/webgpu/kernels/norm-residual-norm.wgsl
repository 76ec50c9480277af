// After the o or the down product: its LayerNorm and bias, added to the hidden state, and the RMSNorm of that.
// One workgroup a row.
@group(0) @binding(0) var<storage, read> raw: array<f32>; // [rows, HIDDEN]
@group(0) @binding(1) var<storage, read> bias: array<f32>; // [HIDDEN], read with BIAS only
@group(0) @binding(2) var<storage, read_write> hidden: array<f32>; // [rows, HIDDEN]
@group(0) @binding(3) var<storage, read> gain: array<f32>; // [HIDDEN]
@group(0) @binding(4) var<storage, read> factors: array<f32>; // [COPIES, HIDDEN] g
@group(0) @binding(5) var<storage, read_write> scaled: array<Scaled>;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.x;
  let norm = layerNorm(row * HIDDEN, HIDDEN, lanes);
  for (var i = lanes.index; i < HIDDEN; i += WORKGROUP) {
    var value = (raw[row * HIDDEN + i] - norm.x) * norm.y;
    if (BIAS) {
      value += bias[i];
    }
    hidden[row * HIDDEN + i] += value;
  }
  normaliseRow(row, lanes);
}
