// Sums and maxima over a workgroup: within subgroups first, then over the subgroups in workgroup memory.
struct Lanes {
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_size) subgroup: u32,
  @builtin(subgroup_invocation_id) inSubgroup: u32,
}

// The smallest subgroups have 4 lanes.
var<workgroup> subgroupValues: array<f32, SUMS * WORKGROUP / 4>;

/// The sums of every lane's values, for every lane.
fn workgroupSums(values: array<f32, SUMS>, lanes: Lanes) -> array<f32, SUMS> {
  var sums = values;
  for (var i = 0u; i < SUMS; i++) {
    let sum = subgroupAdd(sums[i]);
    if (lanes.inSubgroup == 0u) {
      subgroupValues[(lanes.index / lanes.subgroup) * SUMS + i] = sum;
    }
  }
  workgroupBarrier();
  let subgroups = max(1u, WORKGROUP / lanes.subgroup);
  for (var i = 0u; i < SUMS; i++) {
    var sum = 0.0;
    for (var j = 0u; j < subgroups; j++) {
      sum += subgroupValues[j * SUMS + i];
    }
    sums[i] = sum;
  }
  workgroupBarrier();
  return sums;
}

/// The largest of every lane's value, for every lane.
fn workgroupMax(value: f32, lanes: Lanes) -> f32 {
  let own = subgroupMax(value);
  if (lanes.inSubgroup == 0u) {
    subgroupValues[lanes.index / lanes.subgroup] = own;
  }
  workgroupBarrier();
  var largest = subgroupValues[0];
  for (var j = 1u; j < max(1u, WORKGROUP / lanes.subgroup); j++) {
    largest = max(largest, subgroupValues[j]);
  }
  workgroupBarrier();
  return largest;
}
