// The TOP largest logits of 1024 tokens (group.x) of a row (group.y), with the block's largest logit and the
// sum of exp(logit − largest).
@group(0) @binding(0) var<storage, read> logits: array<f32>; // [BATCH, VOCABULARY]
@group(0) @binding(1) var<storage, read_write> candidates: array<vec2u>; // [BATCH, BLOCKS, TOP] token, logit's bits
@group(0) @binding(2) var<storage, read_write> blocks: array<vec2f>; // [BATCH, BLOCKS] largest, sum

@compute @workgroup_size(WORKGROUP)
fn main(lanes: Lanes, @builtin(workgroup_id) group: vec3u) {
  for (var i = lanes.index; i < SORTED; i += WORKGROUP) {
    let token = group.x * SORTED + i;
    let inside = token < VOCABULARY;
    sortTokens[i] = select(NO_TOKEN, token, inside);
    sortLogits[i] = -3.4e38;
    if (inside) {
      sortLogits[i] = logits[group.y * VOCABULARY + token];
    }
  }
  bringTopToFront(lanes.index);
  let largest = sortLogits[0];
  var part = array<f32, SUMS>();
  for (var token = group.x * SORTED + lanes.index; token < min(VOCABULARY, (group.x + 1u) * SORTED); token += WORKGROUP) {
    part[0] += exp(logits[group.y * VOCABULARY + token] - largest);
  }
  let sum = workgroupSums(part, lanes)[0];
  let block = group.y * BLOCKS + group.x;
  if (lanes.index == 0u) {
    blocks[block] = vec2f(largest, sum);
  }
  for (var i = lanes.index; i < TOP; i += WORKGROUP) {
    candidates[block * TOP + i] = vec2u(sortTokens[i], bitcast<u32>(sortLogits[i]));
  }
}
