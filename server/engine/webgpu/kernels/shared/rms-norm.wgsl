/// The RMSNorm of a row of `hidden`, multiplied by the g of each linear that reads it, to `scaled`; before
/// the lm_head (COPIES is 0) as it is, [MAX_ROWS, HIDDEN]. Every lane reads only what it wrote itself.
fn normaliseRow(row: u32, lanes: Lanes) {
  var squares = array<f32, SUMS>();
  for (var i = lanes.index; i < HIDDEN; i += WORKGROUP) {
    let value = hidden[row * HIDDEN + i];
    squares[0] += value * value;
  }
  let scale = 1.0 / sqrt(workgroupSums(squares, lanes)[0] / f32(HIDDEN) + RMS_EPS);
  for (var i = lanes.index; i < HIDDEN; i += WORKGROUP) {
    let value = hidden[row * HIDDEN + i] * scale * gain[i];
    if (COPIES == 0u) {
      scaled[row * HIDDEN + i] = scaledValue(value);
    }
    for (var copy = 0u; copy < COPIES; copy++) {
      scaled[scaledIndex(copy, row, i, WORDS)] = scaledValue(value * factors[copy * HIDDEN + i]);
    }
  }
}
