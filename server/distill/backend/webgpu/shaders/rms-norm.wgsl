// y = x · inverse ⊙ gain of each row, inverse = 1 / sqrt(mean(x²) + eps). A workgroup a row.

struct Sizes { rows: u32, width: u32, eps: f32 }

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> inverse: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> gain: array<f32>;
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
  var squares = 0.0;
  for (var i = lane; i < sizes.width; i = i + lanes) { squares = squares + x[first + i] * x[first + i]; }
  let scale = 1.0 / sqrt(sum_of_lanes(squares, lane) / f32(sizes.width) + sizes.eps);
  for (var i = lane; i < sizes.width; i = i + lanes) { y[first + i] = x[first + i] * scale * gain[i]; }
  if (lane == 0u) { inverse[row] = scale; }
}
