// dlogits = dy · weight / Σ weights · (softmax(logits) − one at the label) of each row. A workgroup a row.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(6) var<uniform> sizes: Sizes;

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
  for (var i = lane; i < sizes.rows; i = i + lanes) { sum = sum + weights[i]; }
  let scale = dy[0] * weights[row] / max(sum_of_lanes(sum, lane), 1e-9);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let share = exp(logits[first + i] - log_sum_exp[row]);
    dlogits[first + i] = scale * select(share, share - 1.0, i == labels[row]);
  }
}
