// The embedding of each row's token, and the first layer's RMSNorm of it. One workgroup a row.
@group(0) @binding(0) var<storage, read> embedded: array<u32>; // [rows, HIDDEN / 2] pairs of fp16
@group(0) @binding(1) var<storage, read_write> hidden: array<f32>; // [rows, HIDDEN]
@group(0) @binding(2) var<storage, read> gain: array<f32>; // [HIDDEN]
@group(0) @binding(3) var<storage, read> factors: array<f32>; // [COPIES, HIDDEN] g
@group(0) @binding(4) var<storage, read_write> scaled: array<Scaled>;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.x;
  for (var i = lanes.index; i < HIDDEN; i += WORKGROUP) {
    let pair = unpack2x16float(embedded[(row * HIDDEN + i) / 2u]);
    hidden[row * HIDDEN + i] = select(pair.x, pair.y, i % 2u == 1u);
  }
  normaliseRow(row, lanes);
}
