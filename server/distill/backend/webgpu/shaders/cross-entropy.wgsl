// losses = weight · (log_sum_exp − logits[label]) of each row, in nats. A workgroup a row.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<f32>;
@group(0) @binding(1) var<storage, read_write> log_sum_exp: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
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
  var largest = -3.0e38;
  for (var i = lane; i < sizes.width; i = i + lanes) { largest = max(largest, logits[first + i]); }
  largest = max_of_lanes(largest, lane);
  var sum = 0.0;
  for (var i = lane; i < sizes.width; i = i + lanes) { sum = sum + exp(logits[first + i] - largest); }
  let total = largest + log(sum_of_lanes(sum, lane));
  if (lane == 0u) {
    log_sum_exp[row] = total;
    losses[row] = weights[row] * (total - logits[first + labels[row]]);
  }
}
