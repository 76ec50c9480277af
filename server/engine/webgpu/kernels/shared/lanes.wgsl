// Sums and maxima over a workgroup, in workgroup memory. SUMS values at once share the barriers.
struct Lanes {
  @builtin(local_invocation_index) index: u32,
}

var<workgroup> laneValues: array<f32, SUMS * WORKGROUP>;

/// The sums of every lane's values, for every lane.
fn workgroupSums(values: array<f32, SUMS>, lanes: Lanes) -> array<f32, SUMS> {
  var sums = values;
  for (var i = 0u; i < SUMS; i++) {
    laneValues[i * WORKGROUP + lanes.index] = sums[i];
  }
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (lanes.index < half) {
      for (var i = 0u; i < SUMS; i++) {
        laneValues[i * WORKGROUP + lanes.index] += laneValues[i * WORKGROUP + lanes.index + half];
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < SUMS; i++) {
    sums[i] = laneValues[i * WORKGROUP];
  }
  workgroupBarrier();
  return sums;
}

/// The largest of every lane's value, for every lane.
fn workgroupMax(value: f32, lanes: Lanes) -> f32 {
  laneValues[lanes.index] = value;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (lanes.index < half) {
      laneValues[lanes.index] = max(laneValues[lanes.index], laneValues[lanes.index + half]);
    }
    workgroupBarrier();
  }
  let largest = laneValues[0];
  workgroupBarrier();
  return largest;
}
