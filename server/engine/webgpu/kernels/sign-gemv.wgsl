// y = (x ⊙ g) Sᵀ ⊙ h for BATCH rows: decoding. A workgroup makes SPAN elements of each row; its lanes take words of 32
// signs in turn.
@group(0) @binding(0) var<storage, read> signs: array<u32>; // [OUT, WORDS], least significant bit first, 1 = -1
@group(0) @binding(1) var<storage, read> h: array<f32>; // [OUT]
@group(0) @binding(2) var<storage, read> scaled: array<vec4u>; // x ⊙ g
@group(0) @binding(3) var<storage, read_write> raw: array<f32>; // [rows, OUT], before the LayerNorm

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let outputs = outputsOf(group.x);
  var sums = array<f32, SUMS>();
  for (var word = lanes.index; word < WORDS; word += WORKGROUP) {
    var bits = array<u32, SPAN>();
    for (var o = 0u; o < SPAN; o++) {
      bits[o] = signs[min(outputs.first + o, outputs.end - 1u) * WORDS + word];
    }
    addWord(outputs.copy, word, bits, &sums);
  }
  sums = workgroupSums(sums, lanes);
  for (var i = 0u; i < SUMS; i++) {
    let output = outputs.first + i / BATCH;
    if (lanes.index == i % WORKGROUP && output < outputs.end) {
      raw[(i % BATCH) * OUT + output] = sums[i] * h[output];
    }
  }
}
