// mean = Σ values / max(Σ weights, 1e-9). One workgroup.

struct Sizes { size: u32 }

@group(0) @binding(0) var<storage, read_write> mean: array<f32>;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  var weight = 0.0;
  for (var i = lane; i < sizes.size; i = i + lanes) {
    sum = sum + values[i];
    weight = weight + weights[i];
  }
  let total = sum_of_lanes(sum, lane);
  let total_weight = sum_of_lanes(weight, lane);
  if (lane == 0u) { mean[0] = total / max(total_weight, 1e-9); }
}
