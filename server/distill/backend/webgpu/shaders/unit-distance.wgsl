// losses = ‖a / ‖a‖ − b / ‖b‖‖² of each row. A workgroup a row.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= sizes.rows) { return; }
  let first = row * sizes.width;
  var squares = vec2f(0.0);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let pair = vec2f(a[first + i], b[first + i]);
    squares = squares + pair * pair;
  }
  let scale_a = 1.0 / sqrt(sum_of_lanes(squares.x, lane) + 1e-24);
  let scale_b = 1.0 / sqrt(sum_of_lanes(squares.y, lane) + 1e-24);
  var sum = 0.0;
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let difference = a[first + i] * scale_a - b[first + i] * scale_b;
    sum = sum + difference * difference;
  }
  let loss = sum_of_lanes(sum, lane);
  if (lane == 0u) { losses[row] = loss; }
}
