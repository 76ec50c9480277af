// dz = inverse · (dy − mean(dy) − y · mean(dy ⊙ y)) of each row. A workgroup a row.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> dz: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> inverse: array<f32>;
@group(0) @binding(4) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= sizes.rows) { return; }
  let first = row * sizes.width;
  var sum = 0.0;
  var along = 0.0;
  for (var i = lane; i < sizes.width; i = i + lanes) {
    sum = sum + dy[first + i];
    along = along + dy[first + i] * y[first + i];
  }
  let mean = sum_of_lanes(sum, lane) / f32(sizes.width);
  let mean_along = sum_of_lanes(along, lane) / f32(sizes.width);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    dz[first + i] = inverse[row] * (dy[first + i] - mean - y[first + i] * mean_along);
  }
}
