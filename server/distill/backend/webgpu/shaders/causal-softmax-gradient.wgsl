// In place: scores [rows, window] become the weights exp(scale · scores − log_sum_exp) again, and their gradient
// dweights that of the scores: scale · weights · (dweights − Σ weights · dweights). A workgroup a row.

struct Sizes { rows: u32, window: u32, scale: f32 }

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> dweights: array<f32>;
@group(0) @binding(2) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

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
  var sum = 0.0;
  for (var i = lane; i < sizes.window; i = i + lanes) {
    let weight = select(0.0, exp(sizes.scale * scores[first + i] - log_sum_exp[row]), i < seen);
    scores[first + i] = weight;
    sum = sum + weight * dweights[first + i];
  }
  let along = sum_of_lanes(sum, lane);
  for (var i = lane; i < sizes.window; i = i + lanes) {
    dweights[first + i] = sizes.scale * scores[first + i] * (dweights[first + i] - along);
  }
}
