// One step of Adam, in place. A lane a number.

struct Options {
  size: u32, decoupled: u32,
  learning_rate: f32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, epsilon: f32,
  weight_decay: f32, correction1: f32, correction2: f32, gradient_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<f32>;
@group(0) @binding(2) var<storage, read_write> second: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<uniform> options: Options;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + lane;
  if (i >= options.size) { return; }
  let before = parameter[i];
  var slope = gradient[i] * options.gradient_scale;
  var kept = before;
  if (options.decoupled == 1u) {
    kept = before - before * (options.learning_rate * options.weight_decay);
  } else {
    slope = slope + before * options.weight_decay;
  }
  let m = first[i] * options.beta1 + slope * options.rest1;
  let v = second[i] * options.beta2 + slope * slope * options.rest2;
  first[i] = m;
  second[i] = v;
  let step = options.learning_rate * options.correction1 * m;
  parameter[i] = kept - step / (sqrt(v * options.correction2) + options.epsilon);
}
