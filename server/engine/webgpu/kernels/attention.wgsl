// Causal attention of one row (group.y) and head (group.x) over the KV cache, multiplied by the g of the o projection.
@group(0) @binding(0) var<storage, read> queries: array<vec2f>; // [rows, HEADS, HEAD_DIM / 2]
@group(0) @binding(1) var<storage, read> rows: array<vec4u>; // position, sequence's place in its bank, bank
@group(0) @binding(2) var<storage, read> keys: array<KvVector>; // [sequences, CONTEXT, KV_HEADS, VECTORS]
@group(0) @binding(3) var<storage, read> values: array<KvVector>;
@group(0) @binding(4) var<storage, read> factors: array<f32>; // [HEADS, HEAD_DIM] g
@group(0) @binding(5) var<storage, read_write> scaled: array<Scaled>;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let row = group.y;
  let place = rows[row];
  if (place.z != BANK) {
    return;
  }
  let attended = attend(head, row, place, 0u, place.x + 1u, lanes);
  storeHead(head, row, attended.sum / attended.total, lanes.index);
}
