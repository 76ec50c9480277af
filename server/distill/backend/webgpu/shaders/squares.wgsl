// sums[group] = Σ x² over every number whose turn it is: workgroups take `lanes` numbers each in turn.

struct Sizes { size: u32 }

@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  var sum = 0.0;
  for (var i = group.x * lanes + lane; i < sizes.size; i = i + groups.x * lanes) { sum = sum + x[i] * x[i]; }
  let total = sum_of_lanes(sum, lane);
  if (lane == 0u) { sums[group.x] = total; }
}
