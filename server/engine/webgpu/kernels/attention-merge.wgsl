// The parts of one row (group.y) and head (group.x) that attention-part has made, together, times the g of the o projection.
@group(0) @binding(0) var<storage, read> parts: array<vec2f>; // [rows, HEADS, CHUNKS, 1 + HEAD_DIM / 2]
@group(0) @binding(1) var<storage, read> factors: array<f32>; // [HEADS, HEAD_DIM] g
@group(0) @binding(2) var<storage, read_write> scaled: array<Scaled>;

const PAIRS: u32 = HEAD_DIM / 2u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let row = group.y;
  let start = (row * HEADS + head) * CHUNKS * (1u + PAIRS);
  var largest = parts[start].x;
  for (var chunk = 1u; chunk < CHUNKS; chunk++) {
    largest = max(largest, parts[start + chunk * (1u + PAIRS)].x);
  }
  var total = 0.0;
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    let head = parts[start + chunk * (1u + PAIRS)];
    total += head.y * exp(head.x - largest);
  }
  for (var pair = lane; pair < PAIRS; pair += WORKGROUP) {
    var sum = vec2f();
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      let part = start + chunk * (1u + PAIRS);
      sum += parts[part + 1u + pair] * exp(parts[part].x - largest);
    }
    let value = sum / total;
    let k = head * HEAD_DIM + 2u * pair;
    scaled[scaledIndex(0u, row, k, WORDS)] = scaledValue(value.x * factors[k]);
    scaled[scaledIndex(0u, row, k + 1u, WORDS)] = scaledValue(value.y * factors[k + 1u]);
  }
}
