// y = (x ⊙ g) Sᵀ ⊙ h for many rows: prefill. A workgroup of 8 × 8 lanes makes 32 rows × 32 outputs, a lane
// 4 × 4 of them, from two words of signs and their inputs at a time in workgroup memory.
@group(0) @binding(0) var<storage, read> signs: array<u32>; // [OUT, WORDS], least significant bit first, 1 = -1
@group(0) @binding(1) var<storage, read> h: array<f32>; // [OUT]
@group(0) @binding(2) var<storage, read> scaled: array<vec4u>; // x ⊙ g
@group(0) @binding(3) var<storage, read_write> raw: array<f32>; // [MAX_ROWS, OUT], before the LayerNorm

const TILE: u32 = 32;
const DEPTH: u32 = 2; // words

var<workgroup> inputs: array<vec4u, DEPTH * STEPS * TILE>; // [DEPTH, STEPS, TILE rows]
var<workgroup> bits: array<u32, DEPTH * TILE>; // [DEPTH, TILE outputs]

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
  let outputs = outputsOf(group.x);
  let firstRow = group.y * TILE;
  let laneRow = (lane / 8u) * 4u;
  let laneOut = (lane % 8u) * 4u;
  var sums = array<vec4f, 4>(); // [output] of four rows
  for (var word = 0u; word < WORDS; word += DEPTH) {
    for (var i = lane; i < DEPTH * STEPS * TILE; i += 64u) {
      let depth = i % DEPTH;
      let step = (i / DEPTH) % STEPS;
      let row = i / (DEPTH * STEPS);
      var value = vec4u();
      if (word + depth < WORDS) {
        value = scaled[((outputs.copy * MAX_ROWS + firstRow + row) * STEPS + step) * WORDS + word + depth];
      }
      inputs[(depth * STEPS + step) * TILE + row] = value;
    }
    // The lanes load 2 × 32 words of signs, one each.
    let output = min(outputs.first + lane % TILE, outputs.end - 1u);
    bits[lane] = signs[output * WORDS + min(word + lane / TILE, WORDS - 1u)];
    workgroupBarrier();
    for (var depth = 0u; depth < DEPTH; depth++) {
      addTile(depth, laneRow, laneOut, &sums);
    }
    workgroupBarrier();
  }
  for (var o = 0u; o < 4u; o++) {
    let output = outputs.first + laneOut + o;
    if (output < outputs.end) {
      let values = sums[o] * h[output];
      for (var r = 0u; r < 4u; r++) {
        raw[(firstRow + laneRow + r) * OUT + output] = values[r];
      }
    }
  }
}
