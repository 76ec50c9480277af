// dstudent = dy / rows · (softmax(student) − softmax(teacher)). A lane a number.

struct Sizes { size: u32, width: u32, rows: u32 }

@group(0) @binding(0) var<storage, read_write> dstudent: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read> student: array<f32>;
@group(0) @binding(4) var<storage, read> teacher_log: array<f32>;
@group(0) @binding(5) var<storage, read> student_log: array<f32>;
@group(0) @binding(6) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + lane;
  if (i >= sizes.size) { return; }
  let row = i / sizes.width;
  let wanted = exp(teacher[i] - teacher_log[row]);
  dstudent[i] = dy[0] / f32(sizes.rows) * (exp(student[i] - student_log[row]) - wanted);
}
