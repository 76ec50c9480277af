// The parts of one row (group.y) and head (group.x) that attention-part has made, together, times the g of the o projection.
@group(0) @binding(0) var<storage, read> parts: array<vec2f>; // [rows, HEADS, CHUNKS, 1 + HEAD_DIM / 2]
@group(0) @binding(1) var<storage, read> rows: array<vec4u>; // position, sequence's place in its bank, bank
@group(0) @binding(2) var<storage, read> factors: array<f32>; // [HEADS, HEAD_DIM] g
@group(0) @binding(3) var<storage, read_write> scaled: array<Scaled>;

const PAIRS: u32 = HEAD_DIM / 2u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let row = group.y;
  let start = (row * HEADS + head) * CHUNKS * (1u + PAIRS);
  let chunks = rows[row].x / CHUNK + 1u;
  let own = 1u + min(lane, PAIRS - 1u);
  var largest = -3.0e38;
  var total = 0.0;
  var sum = vec2f();
  for (var chunk = 0u; chunk < chunks; chunk++) {
    let at = start + chunk * (1u + PAIRS);
    let part = parts[at];
    let newLargest = max(largest, part.x);
    let shrink = exp(largest - newLargest);
    let weight = exp(part.x - newLargest);
    total = total * shrink + part.y * weight;
    sum = sum * shrink + parts[at + own] * weight;
    largest = newLargest;
  }
  storeHead(head, row, sum / total, lane);
}
