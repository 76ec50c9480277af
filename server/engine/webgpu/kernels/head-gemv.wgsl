// Logits of BATCH rows: fp16 lm_head, f32 sums. A workgroup makes OUTPUTS logits of each row. The lm_head is cut
// into pieces that a binding can hold; this one begins at token FIRST and has TOKENS.
@group(0) @binding(0) var<storage, read> weights: array<u32>; // [TOKENS, HIDDEN / 2] pairs of fp16
@group(0) @binding(1) var<storage, read> normed: array<vec2f>; // [MAX_ROWS, HIDDEN / 2]
@group(0) @binding(2) var<storage, read> wanted: array<u32>; // [BATCH] rows
@group(0) @binding(3) var<storage, read_write> logits: array<f32>; // [BATCH, VOCABULARY]

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let first = group.x * OUTPUTS;
  var sums = array<f32, SUMS>();
  for (var i = lanes.index; i < HIDDEN / 2u; i += WORKGROUP) {
    var pairs: array<vec2f, OUTPUTS>;
    for (var o = 0u; o < OUTPUTS; o++) {
      pairs[o] = unpack2x16float(weights[min(first + o, TOKENS - 1u) * (HIDDEN / 2u) + i]);
    }
    for (var b = 0u; b < BATCH; b++) {
      let x = normed[wanted[b] * (HIDDEN / 2u) + i];
      for (var o = 0u; o < OUTPUTS; o++) {
        sums[o * BATCH + b] += x.x * pairs[o].x + x.y * pairs[o].y;
      }
    }
  }
  sums = workgroupSums(sums, lanes);
  for (var i = 0u; i < SUMS; i++) {
    let token = first + i / BATCH;
    if (lanes.index == i % WORKGROUP && token < TOKENS) {
      logits[(i % BATCH) * VOCABULARY + FIRST + token] = sums[i];
    }
  }
}
