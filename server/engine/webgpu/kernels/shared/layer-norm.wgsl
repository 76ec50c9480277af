const PAIR_ROUNDS: u32 = (MOST_PAIRS + WORKGROUP - 1u) / WORKGROUP;

/// Mean and 1/sqrt(variance + eps) of `pairs` pairs of `raw` from `start` on, over two passes; memory is read once.
fn layerNorm(start: u32, pairs: u32, lanes: Lanes) -> vec2f {
  var own = array<vec2f, PAIR_ROUNDS>();
  var part = array<f32, SUMS>();
  for (var r = 0u; r < PAIR_ROUNDS; r++) {
    let i = r * WORKGROUP + lanes.index;
    if (i < pairs) {
      own[r] = raw[start + i];
    }
    part[0] += own[r].x + own[r].y;
  }
  let mean = workgroupSums(part, lanes)[0] / f32(2u * pairs);
  part[0] = 0.0;
  for (var r = 0u; r < PAIR_ROUNDS; r++) {
    if (r * WORKGROUP + lanes.index < pairs) {
      let difference = own[r] - mean;
      part[0] += dot(difference, difference);
    }
  }
  let variance = workgroupSums(part, lanes)[0] / f32(2u * pairs);
  return vec2f(mean, 1.0 / sqrt(variance + LAYER_NORM_EPS));
}
