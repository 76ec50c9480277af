// y = (x ⊙ g) Sᵀ ⊙ h for BATCH rows: decoding. A workgroup makes OUTPUTS elements of each row; its lanes take
// words of 32 signs in turn. Up to three linears with an x ⊙ g of their own stand one after the other.
@group(0) @binding(0) var<storage, read> signs: array<u32>; // [OUT, WORDS], least significant bit first, 1 = -1
@group(0) @binding(1) var<storage, read> h: array<f32>; // [OUT]
@group(0) @binding(2) var<storage, read> scaled: array<vec4u>; // x ⊙ g, see scaledIndex
@group(0) @binding(3) var<storage, read_write> raw: array<f32>; // [rows, OUT], before the LayerNorm

const OUT: u32 = OUT_0 + OUT_1 + OUT_2;
const GROUPS_0: u32 = (OUT_0 + OUTPUTS - 1u) / OUTPUTS;
const GROUPS_1: u32 = (OUT_1 + OUTPUTS - 1u) / OUTPUTS;

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  var copy = 0u;
  var first = group.x * OUTPUTS;
  var end = OUT_0;
  if (group.x >= GROUPS_0 + GROUPS_1) {
    copy = 2u;
    first = OUT_0 + OUT_1 + (group.x - GROUPS_0 - GROUPS_1) * OUTPUTS;
    end = OUT;
  } else if (group.x >= GROUPS_0) {
    copy = 1u;
    first = OUT_0 + (group.x - GROUPS_0) * OUTPUTS;
    end = OUT_0 + OUT_1;
  }
  var sums = array<f32, SUMS>();
  for (var word = lanes.index; word < WORDS; word += WORKGROUP) {
    var bits: array<u32, OUTPUTS>;
    for (var o = 0u; o < OUTPUTS; o++) {
      bits[o] = signs[min(first + o, end - 1u) * WORDS + word];
    }
    for (var step = 0u; step < STEPS; step++) {
      let shifts = signShifts(step);
      for (var b = 0u; b < BATCH; b++) {
        let inputs = scaled[((copy * MAX_ROWS + b) * STEPS + step) * WORDS + word];
        for (var o = 0u; o < OUTPUTS; o++) {
          sums[o * BATCH + b] += signedSum(inputs, bits[o], shifts);
        }
      }
    }
  }
  sums = workgroupSums(sums, lanes);
  for (var i = 0u; i < SUMS; i++) {
    let output = first + i / BATCH;
    if (lanes.index == i % WORKGROUP && output < end) {
      raw[(i % BATCH) * OUT + output] = sums[i] * h[output];
    }
  }
}
