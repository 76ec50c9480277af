// The gradients of gate · sigmoid(gate) · up by gate and up. A lane a number.

struct Sizes { size: u32 }

@group(0) @binding(0) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(1) var<storage, read_write> dup: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read> up: array<f32>;
@group(0) @binding(5) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + lane;
  if (i >= sizes.size) { return; }
  let sigmoid = 1.0 / (1.0 + exp(-max(gate[i], -80.0)));
  let silu = gate[i] * sigmoid;
  dup[i] = dy[i] * silu;
  dgate[i] = dy[i] * up[i] * (sigmoid + silu * (1.0 - sigmoid));
}
