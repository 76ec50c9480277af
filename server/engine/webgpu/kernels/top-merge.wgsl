// The TOP largest logits of a row (group.x) from those of its blocks, and the logarithm of the sum of exp(logit)
// over the vocabulary.
@group(0) @binding(0) var<storage, read> candidates: array<vec2u>; // [BATCH, BLOCKS, TOP] token, logit's bits
@group(0) @binding(1) var<storage, read> blocks: array<vec2f>; // [BATCH, BLOCKS] largest, sum
@group(0) @binding(2) var<storage, read_write> top: array<vec2u>; // [BATCH, 1 + TOP] first the logarithm's bits

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  let row = group.x;
  // The best so far stay in front, at first the first block's; the next candidates take the places behind them.
  for (var i = lanes.index; i < TOP; i += WORKGROUP) {
    let candidate = candidates[row * BLOCKS * TOP + i];
    sortTokens[i] = candidate.x;
    sortLogits[i] = bitcast<f32>(candidate.y);
  }
  workgroupBarrier();
  for (var next = TOP; next < BLOCKS * TOP; next += SORTED - TOP) {
    workgroupBarrier();
    for (var i = TOP + lanes.index; i < SORTED; i += WORKGROUP) {
      let at = next + i - TOP;
      sortTokens[i] = NO_TOKEN;
      sortLogits[i] = -3.4e38;
      if (at < BLOCKS * TOP) {
        let candidate = candidates[row * BLOCKS * TOP + at];
        sortTokens[i] = candidate.x;
        sortLogits[i] = bitcast<f32>(candidate.y);
      }
    }
    bringTopToFront(lanes.index);
  }
  let largest = sortLogits[0];
  var part = array<f32, SUMS>();
  for (var i = lanes.index; i < BLOCKS; i += WORKGROUP) {
    let block = blocks[row * BLOCKS + i];
    part[0] += block.y * exp(block.x - largest);
  }
  let sum = workgroupSums(part, lanes)[0];
  if (lanes.index == 0u) {
    top[row * (1u + TOP)] = vec2u(bitcast<u32>(largest + log(sum)), 0u);
  }
  for (var i = lanes.index; i < TOP; i += WORKGROUP) {
    top[row * (1u + TOP) + 1u + i] = vec2u(sortTokens[i], bitcast<u32>(sortLogits[i]));
  }
}
