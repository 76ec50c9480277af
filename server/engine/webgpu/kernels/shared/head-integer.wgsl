var<workgroup> headPairs: array<vec2f, HEAD_DIM / 2u>;

/// One head's attended values, a pair from each lane below HEAD_DIM / 2, as inputs of the o product: HEAD_DIM is a
/// multiple of 32, so that no word has inputs of two heads.
fn storeHead(head: u32, row: u32, pair: vec2f, lane: u32) {
  if (lane < HEAD_DIM / 2u) {
    let k = head * HEAD_DIM + 2u * lane;
    headPairs[lane] = pair * vec2f(factors[k], factors[k + 1u]);
  }
  workgroupBarrier();
  let k = quadInputs(min(lane, HEAD_DIM / 4u - 1u));
  var values = vec4f();
  for (var i = 0u; i < 4u; i++) {
    values[i] = headPairs[k[i] / 2u][k[i] % 2u];
  }
  let quad = head * (HEAD_DIM / 4u) + lane;
  storeQuad(row, quad, lane < HEAD_DIM / 4u, array<vec4f, COPIES>(values), lane);
}
