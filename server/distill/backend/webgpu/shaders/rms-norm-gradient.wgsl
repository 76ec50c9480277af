// dx = inverse · (dy ⊙ gain − x · inverse² · mean(dy ⊙ gain ⊙ x)) of each row. A workgroup a row.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> dx: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> gain: array<f32>;
@group(0) @binding(4) var<storage, read> inverse: array<f32>;
@group(0) @binding(5) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= sizes.rows) { return; }
  let first = row * sizes.width;
  var along = 0.0;
  for (var i = lane; i < sizes.width; i = i + lanes) {
    along = along + dy[first + i] * gain[i] * x[first + i];
  }
  let scale = inverse[row];
  let back = scale * scale * sum_of_lanes(along, lane) / f32(sizes.width);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    dx[first + i] = scale * (dy[first + i] * gain[i] - x[first + i] * back);
  }
}
