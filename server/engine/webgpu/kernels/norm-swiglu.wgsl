// After the gate and up products: each one's LayerNorm and bias, silu(gate) ⊙ up, times the g of down.
// One workgroup a row.
@group(0) @binding(0) var<storage, read> raw: array<f32>; // [rows, 2, INTERMEDIATE] gate, up
@group(0) @binding(1) var<storage, read> bias: array<f32>; // [2, INTERMEDIATE], read with BIAS only
@group(0) @binding(2) var<storage, read> factors: array<f32>; // [INTERMEDIATE] g
@group(0) @binding(3) var<storage, read_write> scaled: array<Scaled>;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.x;
  let start = row * 2u * INTERMEDIATE;
  let gateNorm = layerNorm(start, INTERMEDIATE, lanes);
  let upNorm = layerNorm(start + INTERMEDIATE, INTERMEDIATE, lanes);
  for (var i = lanes.index; i < INTERMEDIATE; i += WORKGROUP) {
    var gate = (raw[start + i] - gateNorm.x) * gateNorm.y;
    var up = (raw[start + INTERMEDIATE + i] - upNorm.x) * upNorm.y;
    if (BIAS) {
      gate += bias[i];
      up += bias[INTERMEDIATE + i];
    }
    scaled[scaledIndex(0u, row, i, WORDS)] = scaledValue(gate / (1.0 + exp(-gate)) * up * factors[i]);
  }
}
