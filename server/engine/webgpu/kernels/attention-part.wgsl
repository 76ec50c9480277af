// The same over CHUNK of the positions (group.z), where a context is long and rows are few: heads alone would leave most
// of a large card idle. attention-merge puts the parts together.
@group(0) @binding(0) var<storage, read> queries: array<vec2f>; // [rows, HEADS, HEAD_DIM / 2]
@group(0) @binding(1) var<storage, read> rows: array<vec4u>; // position, sequence's place in its bank, bank
@group(0) @binding(2) var<storage, read> keys: array<KvVector>; // [sequences, CONTEXT, KV_HEADS, VECTORS]
@group(0) @binding(3) var<storage, read> values: array<KvVector>;
@group(0) @binding(4) var<storage, read_write> parts: array<vec2f>; // [rows, HEADS, CHUNKS, 1 + HEAD_DIM / 2]

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.y;
  let place = rows[row];
  let first = group.z * CHUNK;
  if (place.z != BANK || first > place.x) {
    return;
  }
  let attended = attend(group.x, row, place, first, min(place.x + 1u, first + CHUNK), lanes);
  let part = ((row * HEADS + group.x) * CHUNKS + group.z) * (1u + PAIRS);
  if (lanes.index == 0u) {
    parts[part] = vec2f(attended.largest, attended.total);
  }
  if (lanes.index < PAIRS) {
    parts[part + 1u + lanes.index] = attended.sum;
  }
}
