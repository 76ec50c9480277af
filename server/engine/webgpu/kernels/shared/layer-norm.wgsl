/// Mean and 1/sqrt(variance + eps) of `size` elements of `raw` from `start` on, over two passes.
fn layerNorm(start: u32, size: u32, lanes: Lanes) -> vec2f {
  var part = array<f32, SUMS>();
  for (var i = lanes.index; i < size; i += WORKGROUP) {
    part[0] += raw[start + i];
  }
  let mean = workgroupSums(part, lanes)[0] / f32(size);
  part[0] = 0.0;
  for (var i = lanes.index; i < size; i += WORKGROUP) {
    let difference = raw[start + i] - mean;
    part[0] += difference * difference;
  }
  let variance = workgroupSums(part, lanes)[0] / f32(size);
  return vec2f(mean, 1.0 / sqrt(variance + LAYER_NORM_EPS));
}
