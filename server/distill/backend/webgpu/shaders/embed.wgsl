// y[r] = table[ids[r]]; 0 for an id outside of the table. A lane a number.

struct Sizes { size: u32, width: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + lane;
  if (i >= sizes.size) { return; }
  let id = ids[i / sizes.width];
  if (id < sizes.vocab) { y[i] = table[id * sizes.width + i % sizes.width]; } else { y[i] = 0.0; }
}
