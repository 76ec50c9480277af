// dgain = Σ_rows dy · x · inverse. A workgroup 16 columns, each summed by 16 lanes.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> dgain: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> inverse: array<f32>;
@group(0) @binding(4) var<uniform> sizes: Sizes;

var<workgroup> sums: array<array<f32, 16>, 16>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let column = group.x * 16u + local.x;
  var sum = 0.0;
  if (column < sizes.width) {
    for (var row = local.y; row < sizes.rows; row = row + 16u) {
      let place = row * sizes.width + column;
      sum = sum + dy[place] * x[place] * inverse[row];
    }
  }
  sums[local.y][local.x] = sum;
  workgroupBarrier();
  if (local.y == 0u && column < sizes.width) {
    var total = 0.0;
    for (var i = 0u; i < 16u; i = i + 1u) { total = total + sums[i][local.x]; }
    dgain[column] = total;
  }
}
