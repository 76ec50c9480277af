/// One head's attended values, a pair from each lane below HEAD_DIM / 2, as inputs of the o product.
fn storeHead(head: u32, row: u32, pair: vec2f, lane: u32) {
  if (lane < HEAD_DIM / 2u) {
    let k = head * HEAD_DIM + 2u * lane;
    scaled[scaledIndex(0u, row, k, WORDS)] = pair.x * factors[k];
    scaled[scaledIndex(0u, row, k + 1u, WORDS)] = pair.y * factors[k + 1u];
  }
}
