// product[r, c] = after[c] · Σ_k a[r, k] · before[k] · sign, where sign is that of latent[c, k]: the 1-bit product
// (X ⊙ g) Sᵀ ⊙ h. With `by_rows` it is that of latent[k, c], which gives the gradient by X. Sign(0) = +1.
// A workgroup makes a tile of 64 × 64, a lane 4 × 4 of it.

override by_rows: bool = false;

struct Sizes { rows: u32, columns: u32, inner: u32 }

@group(0) @binding(0) var<storage, read_write> product: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> before: array<f32>;
@group(0) @binding(3) var<storage, read> latent: array<f32>;
@group(0) @binding(4) var<storage, read> after: array<f32>;
@group(0) @binding(5) var<uniform> sizes: Sizes;

const tile = 64u;
const depth = 16u;
var<workgroup> left: array<vec4f, 256>; // [depth, tile / 4]
var<workgroup> right: array<vec4f, 256>;

fn scaled(row: u32, k: u32) -> f32 {
  if (row >= sizes.rows || k >= sizes.inner) { return 0.0; }
  return a[row * sizes.inner + k] * before[k];
}

fn sign_at(column: u32, k: u32) -> f32 {
  if (column >= sizes.columns || k >= sizes.inner) { return 0.0; }
  let place = select(column * sizes.inner + k, k * sizes.columns + column, by_rows);
  return select(-1.0, 1.0, latent[place] >= 0.0);
}

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first_row = group.y * tile;
  let first_column = group.x * tile;
  var sums: array<vec4f, 4>;
  for (var start = 0u; start < sizes.inner; start = start + depth) {
    let k = lane / 16u;
    let part = 4u * (lane % 16u);
    let r = first_row + part;
    let c = first_column + part;
    left[lane] = vec4f(
      scaled(r, start + k), scaled(r + 1u, start + k), scaled(r + 2u, start + k), scaled(r + 3u, start + k),
    );
    right[lane] = vec4f(
      sign_at(c, start + k), sign_at(c + 1u, start + k), sign_at(c + 2u, start + k), sign_at(c + 3u, start + k),
    );
    workgroupBarrier();
    for (var i = 0u; i < depth; i = i + 1u) {
      let rows = left[i * 16u + local.y];
      let columns = right[i * 16u + local.x];
      sums[0] = sums[0] + rows.x * columns;
      sums[1] = sums[1] + rows.y * columns;
      sums[2] = sums[2] + rows.z * columns;
      sums[3] = sums[3] + rows.w * columns;
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i = i + 1u) {
    let row = first_row + 4u * local.y + i;
    if (row >= sizes.rows) { break; }
    for (var j = 0u; j < 4u; j = j + 1u) {
      let column = first_column + 4u * local.x + j;
      if (column < sizes.columns) {
        product[row * sizes.columns + column] = sums[i][j] * after[column];
      }
    }
  }
}
