// Between rows [batch · window, heads · head_dim] and heads side by side [batch, heads, window, head_dim], turning
// the pairs (i, i + head_dim / 2) on the way: RoPE. turn: 0 not, 1 forth, 2 back. The cosines and sines come from a
// table, [window, head_dim / 2, 2]: a GPU's own are too coarse. A lane a pair.

struct Sizes {
  pairs: u32, window: u32, heads: u32, half: u32,
  turn: u32, from_heads: u32, to_heads: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> angles: array<vec2f>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

fn place(row: u32, head: u32, by_heads: bool) -> u32 {
  let sequence = row / sizes.window;
  let position = row % sizes.window;
  let in_heads = (sequence * sizes.heads + head) * sizes.window + position;
  return 2u * sizes.half * select(row * sizes.heads + head, in_heads, by_heads);
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let pair = (group.y * groups.x + group.x) * 256u + lane;
  if (pair >= sizes.pairs) { return; }
  let i = pair % sizes.half;
  let head = (pair / sizes.half) % sizes.heads;
  let row = pair / (sizes.half * sizes.heads);
  let from_place = place(row, head, sizes.from_heads == 1u) + i;
  let to_place = place(row, head, sizes.to_heads == 1u) + i;
  let low = x[from_place];
  let high = x[from_place + sizes.half];
  var angle = angles[(row % sizes.window) * sizes.half + i];
  if (sizes.turn == 0u) { angle = vec2f(1.0, 0.0); }
  if (sizes.turn == 2u) { angle.y = -angle.y; }
  y[to_place] = low * angle.x - high * angle.y;
  y[to_place + sizes.half] = high * angle.x + low * angle.y;
}
