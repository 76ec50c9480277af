/// Stores a quad of the RMSNorm of a row, multiplied by the g of each linear that reads it.
fn storeNormed(row: u32, quad: u32, k: vec4u, value: vec4f, lane: u32) {
  let read = min(k, vec4u(HIDDEN - 1u));
  var products = array<vec4f, COPIES>();
  for (var copy = 0u; copy < COPIES; copy++) {
    let g = copy * HIDDEN + read;
    let product = value * vec4f(factors[g.x], factors[g.y], factors[g.z], factors[g.w]);
    products[copy] = select(vec4f(), product, k < vec4u(HIDDEN));
  }
  storeQuad(row, quad, quad < QUADS, products, lane);
}
