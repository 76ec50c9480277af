/// The RMSNorm of a row, multiplied by the g of each linear that reads it, to `scaled`; before the lm_head (COPIES is 0)
/// as it is, [MAX_ROWS, HIDDEN]. `values` are those of this lane's quads, with zeros beyond the last.
fn normaliseRow(row: u32, values: ptr<function, array<vec4f, ROUNDS>>, lanes: Lanes) {
  var squares = array<f32, SUMS>();
  for (var r = 0u; r < ROUNDS; r++) {
    squares[0] += dot((*values)[r], (*values)[r]);
  }
  let scale = 1.0 / sqrt(workgroupSums(squares, lanes)[0] / f32(HIDDEN) + RMS_EPS);
  for (var r = 0u; r < ROUNDS; r++) {
    let quad = r * WORKGROUP + lanes.index;
    let k = quadInputs(quad);
    let read = min(k, vec4u(HIDDEN - 1u));
    let value = (*values)[r] * scale * vec4f(gain[read.x], gain[read.y], gain[read.z], gain[read.w]);
    if (COPIES == 0u) {
      for (var i = 0u; i < 4u; i++) {
        if (k[i] < HIDDEN) {
          scaled[row * HIDDEN + k[i]] = bitcast<Scaled>(value[i]);
        }
      }
    }
    for (var copy = 0u; copy < COPIES; copy++) {
      let g = copy * HIDDEN + read;
      let product = value * vec4f(factors[g.x], factors[g.y], factors[g.z], factors[g.w]);
      storeQuad(copy, row, quad, quad < QUADS, select(vec4f(), product, k < vec4u(HIDDEN)), lanes.index);
    }
  }
}
