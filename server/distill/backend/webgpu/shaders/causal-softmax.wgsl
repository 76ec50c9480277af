// In place: scores [rows, window] become softmax(scale · scores) over the positions up to the row's own
// (row % window), and 0 after. A workgroup a row.

struct Sizes { rows: u32, window: u32, scale: f32 }

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> log_sum_exp: array<f32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= sizes.rows) { return; }
  let first = row * sizes.window;
  let seen = row % sizes.window + 1u;
  var largest = -3.0e38;
  for (var i = lane; i < seen; i = i + lanes) { largest = max(largest, sizes.scale * scores[first + i]); }
  largest = max_of_lanes(largest, lane);
  var sum = 0.0;
  for (var i = lane; i < seen; i = i + lanes) { sum = sum + exp(sizes.scale * scores[first + i] - largest); }
  sum = sum_of_lanes(sum, lane);
  for (var i = lane; i < sizes.window; i = i + lanes) {
    scores[first + i] = select(0.0, exp(sizes.scale * scores[first + i] - largest) / sum, i < seen);
  }
  if (lane == 0u) { log_sum_exp[row] = largest + log(sum); }
}
