// losses = KL(softmax(teacher) ‖ softmax(student)) of each row, in nats. A workgroup a row.

struct Sizes { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<f32>;
@group(0) @binding(1) var<storage, read_write> teacher_log: array<f32>;
@group(0) @binding(2) var<storage, read_write> student_log: array<f32>;
@group(0) @binding(3) var<storage, read> teacher: array<f32>;
@group(0) @binding(4) var<storage, read> student: array<f32>;
@group(0) @binding(5) var<uniform> sizes: Sizes;

@compute @workgroup_size(lanes)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= sizes.rows) { return; }
  let first = row * sizes.width;
  var largest = vec2f(-3.0e38);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    largest = max(largest, vec2f(teacher[first + i], student[first + i]));
  }
  largest = vec2f(max_of_lanes(largest.x, lane), max_of_lanes(largest.y, lane));
  var sum = vec2f(0.0);
  for (var i = lane; i < sizes.width; i = i + lanes) {
    sum = sum + exp(vec2f(teacher[first + i], student[first + i]) - largest);
  }
  let logs = largest + log(vec2f(sum_of_lanes(sum.x, lane), sum_of_lanes(sum.y, lane)));
  var kl = 0.0;
  for (var i = lane; i < sizes.width; i = i + lanes) {
    let own = vec2f(teacher[first + i], student[first + i]) - logs;
    kl = kl + exp(own.x) * (own.x - own.y);
  }
  let loss = sum_of_lanes(kl, lane);
  if (lane == 0u) {
    losses[row] = loss;
    teacher_log[row] = logs.x;
    student_log[row] = logs.y;
  }
}
