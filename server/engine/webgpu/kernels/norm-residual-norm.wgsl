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
  var values = array<vec4f, ROUNDS>();
  // Asked for together with what the norm waits for.
  var residuals = array<vec4f, ROUNDS>();
  var part = array<f32, SUMS>();
  for (var r = 0u; r < ROUNDS; r++) {
    let k = quadInputs(r * WORKGROUP + lanes.index);
    let at = row * HIDDEN + min(k, vec4u(HIDDEN - 1u));
    let isInside = k < vec4u(HIDDEN);
    values[r] = select(vec4f(), vec4f(raw[at.x], raw[at.y], raw[at.z], raw[at.w]), isInside);
    residuals[r] = select(vec4f(), vec4f(hidden[at.x], hidden[at.y], hidden[at.z], hidden[at.w]), isInside);
    part[0] += dot(values[r], vec4f(1.0));
  }
  let mean = workgroupSums(part, lanes)[0] / f32(HIDDEN);
  part[0] = 0.0;
  for (var r = 0u; r < ROUNDS; r++) {
    let isInside = quadInputs(r * WORKGROUP + lanes.index) < vec4u(HIDDEN);
    values[r] = select(vec4f(), values[r] - mean, isInside);
    part[0] += dot(values[r], values[r]);
  }
  let scale = 1.0 / sqrt(workgroupSums(part, lanes)[0] / f32(HIDDEN) + LAYER_NORM_EPS);
  for (var r = 0u; r < ROUNDS; r++) {
    let k = quadInputs(r * WORKGROUP + lanes.index);
    values[r] = values[r] * scale + residuals[r];
    for (var i = 0u; i < 4u; i++) {
      if (k[i] < HIDDEN) {
        if (BIAS) {
          values[r][i] += bias[k[i]];
        }
        hidden[row * HIDDEN + k[i]] = values[r][i];
      }
    }
  }
  normaliseRow(row, &values, lanes);
}
