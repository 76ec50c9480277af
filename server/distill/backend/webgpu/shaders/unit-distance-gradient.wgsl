// With u = a / ‖a‖, w = b / ‖b‖ and the mean over rows of ‖u − w‖²: da = 2 dy / rows / ‖a‖ · ((u − w) − u (u · (u − w))),
// and db with the letters exchanged. A workgroup a row.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> da: array<f32>;
@group(0) @binding(1) var<storage, read_write> db: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> a: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;
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
  var squares = vec2f(0.0);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let pair = vec2f(a[first + i], b[first + i]);
    squares = squares + pair * pair;
  }
  let scale_a = 1.0 / sqrt(sum_of_lanes(squares.x, lane) + 1e-24);
  let scale_b = 1.0 / sqrt(sum_of_lanes(squares.y, lane) + 1e-24);
  var along = vec2f(0.0);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let u = a[first + i] * scale_a;
    let w = b[first + i] * scale_b;
    along = along + vec2f(u * (u - w), w * (w - u));
  }
  let along_u = sum_of_lanes(along.x, lane);
  let along_w = sum_of_lanes(along.y, lane);
  let factor = 2.0 * dy[0] / f32(sizes.rows);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let u = a[first + i] * scale_a;
    let w = b[first + i] * scale_b;
    da[first + i] = factor * scale_a * (u - w - u * along_u);
    db[first + i] = factor * scale_b * (w - u - w * along_w);
  }
}
