// 1024 tokens with their logits in workgroup memory, sorted by 256 lanes: bitonic (Batcher 1968).
const SORTED: u32 = 1024;
const NO_TOKEN: u32 = 0xffffffffu;

var<workgroup> sortLogits: array<f32, SORTED>;
var<workgroup> sortTokens: array<u32, SORTED>;

/// Largest first; of equals the lower id.
fn comesFirst(logitA: f32, tokenA: u32, logitB: f32, tokenB: u32) -> bool {
  return logitA > logitB || (logitA == logitB && tokenA < tokenB);
}

/// The first TOP places hold the first TOP of all, in order.
fn bringTopToFront(lane: u32) {
  if (TOP > 1u) {
    sortTokensByLogit(lane);
    return;
  }
  workgroupBarrier();
  for (var half = SORTED / 2u; half > 0u; half /= 2u) {
    for (var i = lane; i < half; i += 256u) {
      if (comesFirst(sortLogits[i + half], sortTokens[i + half], sortLogits[i], sortTokens[i])) {
        sortLogits[i] = sortLogits[i + half];
        sortTokens[i] = sortTokens[i + half];
      }
    }
    workgroupBarrier();
  }
}

fn sortTokensByLogit(lane: u32) {
  workgroupBarrier();
  for (var size = 2u; size <= SORTED; size *= 2u) {
    for (var stride = size / 2u; stride > 0u; stride /= 2u) {
      for (var i = lane; i < SORTED / 2u; i += 256u) {
        let a = 2u * i - i % stride;
        let b = a + stride;
        let descending = (a & size) == 0u;
        if (comesFirst(sortLogits[b], sortTokens[b], sortLogits[a], sortTokens[a]) == descending) {
          let logit = sortLogits[a];
          let token = sortTokens[a];
          sortLogits[a] = sortLogits[b];
          sortTokens[a] = sortTokens[b];
          sortLogits[b] = logit;
          sortTokens[b] = token;
        }
      }
      workgroupBarrier();
    }
  }
}
