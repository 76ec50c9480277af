// dtable[id] = Σ dy[r] over the rows with that id, always in the same order; the other rows of dtable are left
// (they are 0). A workgroup a row of dy: the first with its id adds all of them up.

struct Sizes { rows: u32, width: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> dtable: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= sizes.rows) { return; }
  let id = ids[row];
  var earlier = 0.0;
  for (var other = lane; other < row; other = other + lanes) {
    if (ids[other] == id) { earlier = 1.0; }
  }
  if (sum_of_lanes(earlier, lane) > 0.0 || id >= sizes.vocab) { return; }
  for (var i = lane; i < sizes.width; i = i + lanes) {
    var sum = dy[row * sizes.width + i];
    for (var other = row + 1u; other < sizes.rows; other = other + 1u) {
      if (ids[other] == id) { sum = sum + dy[other * sizes.width + i]; }
    }
    dtable[id * sizes.width + i] = sum;
  }
}
