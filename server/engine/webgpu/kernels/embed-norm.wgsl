// The embedding of each row's token, and the first layer's RMSNorm of it. One workgroup a row.
@group(0) @binding(0) var<storage, read> embedded: array<u32>; // [rows, HIDDEN / 2] pairs of fp16
@group(0) @binding(1) var<storage, read_write> hidden: array<f32>; // [rows, HIDDEN]
@group(0) @binding(2) var<storage, read> gain: array<f32>; // [HIDDEN]
@group(0) @binding(3) var<storage, read> factors: array<f32>; // [COPIES, HIDDEN] g
@group(0) @binding(4) var<storage, read_write> scaled: array<Scaled>;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.x;
  var values = array<vec4f, ROUNDS>();
  for (var r = 0u; r < ROUNDS; r++) {
    let k = quadInputs(r * WORKGROUP + lanes.index);
    for (var i = 0u; i < 4u; i++) {
      if (k[i] < HIDDEN) {
        let at = row * HIDDEN + k[i];
        values[r][i] = unpack2x16float(embedded[at / 2u])[at % 2u];
        hidden[at] = values[r][i];
      }
    }
  }
  normaliseRow(row, &values, lanes);
}
