// Positions of one sequence of a bank of the KV cache to another: WebGPU copies no buffer to itself.
@group(0) @binding(0) var<storage, read> rows: array<vec4u>; // the first: first pair to read, first to write, how many
@group(0) @binding(1) var<storage, read_write> keys: array<KvPair>;
@group(0) @binding(2) var<storage, read_write> values: array<KvPair>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) lane: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let range = rows[0];
  for (var i = lane.x; i < range.z; i += groups.x * WORKGROUP) {
    keys[range.y + i] = keys[range.x + i];
    values[range.y + i] = values[range.x + i];
  }
}
