// total = scale · Σ values. One workgroup.

struct Sizes { size: u32, scale: f32 }

@group(0) @binding(0) var<storage, read_write> total: array<f32>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < sizes.size; i = i + lanes) { sum = sum + values[i]; }
  let all = sum_of_lanes(sum, lane);
  if (lane == 0u) { total[0] = sizes.scale * all; }
}
