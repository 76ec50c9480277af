// From m = dzᵀ x, [out, in]: dlatent = h · m · g · slope, and dh = Σ_in m · g · sign. A workgroup an output.
// slope, the straight-through gradient of Sign: 0 plain 1; 1 tanh 1.001 − tanh²; 2 clipped 1 up to |latent| = 1.

struct Sizes { outputs: u32, width: u32, straight_through: u32 }

@group(0) @binding(0) var<storage, read_write> dlatent: array<f32>;
@group(0) @binding(1) var<storage, read_write> dh: array<f32>;
@group(0) @binding(2) var<storage, read> m: array<f32>;
@group(0) @binding(3) var<storage, read> latent: array<f32>;
@group(0) @binding(4) var<storage, read> g: array<f32>;
@group(0) @binding(5) var<storage, read> h: array<f32>;
@group(0) @binding(6) var<uniform> sizes: Sizes;

fn slope(weight: f32) -> f32 {
  if (sizes.straight_through == 0u) { return 1.0; }
  if (sizes.straight_through == 2u) { return select(0.0, 1.0, abs(weight) <= 1.0); }
  // tanh of a large number overflows on some GPUs.
  let t = tanh(clamp(weight, -15.0, 15.0));
  return 1.001 - t * t;
}

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= sizes.outputs) { return; }
  let first = row * sizes.width;
  let scale = h[row];
  var sum = 0.0;
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let scaled = m[first + i] * g[i];
    let weight = latent[first + i];
    sum = sum + select(-scaled, scaled, weight >= 0.0);
    dlatent[first + i] = scale * scaled * slope(weight);
  }
  let total = sum_of_lanes(sum, lane);
  if (lane == 0u) { dh[row] = total; }
}
