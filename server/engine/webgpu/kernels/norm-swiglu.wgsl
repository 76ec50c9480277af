// After the gate and up products: each one's LayerNorm and bias, silu(gate) ⊙ up, times the g of down.
// A workgroup makes WORKGROUP quads (group.x) of a row (group.y); mean and variance each finds for itself.
@group(0) @binding(0) var<storage, read> raw: array<vec4f>; // [rows, 2, INTERMEDIATE / 4] gate, up
@group(0) @binding(1) var<storage, read> bias: array<f32>; // [2, INTERMEDIATE], read with BIAS only
@group(0) @binding(2) var<storage, read> factors: array<f32>; // [INTERMEDIATE] g
@group(0) @binding(3) var<storage, read_write> scaled: array<Scaled>;

const VECTORS: u32 = INTERMEDIATE / 4u;
const ROUNDS: u32 = (VECTORS + WORKGROUP - 1u) / WORKGROUP;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.y;
  let start = row * 2u * VECTORS;
  var gates = array<vec4f, ROUNDS>();
  var ups = array<vec4f, ROUNDS>();
  var part = array<f32, SUMS>();
  for (var r = 0u; r < ROUNDS; r++) {
    let i = r * WORKGROUP + lanes.index;
    if (i < VECTORS) {
      gates[r] = raw[start + i];
      ups[r] = raw[start + VECTORS + i];
    }
    part[0] += dot(gates[r], vec4f(1.0));
    part[1] += dot(ups[r], vec4f(1.0));
  }
  let sums = workgroupSums(part, lanes);
  let means = vec2f(sums[0], sums[1]) / f32(INTERMEDIATE);
  part = array<f32, SUMS>();
  for (var r = 0u; r < ROUNDS; r++) {
    if (r * WORKGROUP + lanes.index < VECTORS) {
      let gate = gates[r] - means.x;
      let up = ups[r] - means.y;
      part[0] += dot(gate, gate);
      part[1] += dot(up, up);
    }
  }
  let squares = workgroupSums(part, lanes);
  let scales = 1.0 / sqrt(vec2f(squares[0], squares[1]) / f32(INTERMEDIATE) + LAYER_NORM_EPS);
  let quad = group.x * WORKGROUP + lanes.index;
  let k = quadInputs(quad);
  var values = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (k[i] < INTERMEDIATE) {
      let at = 4u * start + k[i];
      var gate = (raw[at / 4u][at % 4u] - means.x) * scales.x;
      var up = (raw[(at + INTERMEDIATE) / 4u][at % 4u] - means.y) * scales.y;
      if (BIAS) {
        gate += bias[k[i]];
        up += bias[INTERMEDIATE + k[i]];
      }
      values[i] = gate / (1.0 + exp(-gate)) * up * factors[k[i]];
    }
  }
  storeQuad(row, quad, quad < 8u * WORDS, array<vec4f, COPIES>(values), lanes.index);
}
