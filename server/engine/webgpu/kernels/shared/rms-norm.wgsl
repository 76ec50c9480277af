/// The RMSNorm of a row, to where storeNormed puts it. `values` are those of this lane's quads, with zeros beyond the last.
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
    let gains = vec4f(gain[read.x], gain[read.y], gain[read.z], gain[read.w]);
    storeNormed(row, quad, k, (*values)[r] * scale * gains, lanes.index);
  }
}
