// Four neighbouring pairs of the KV cache in f32.
struct KvVector {
  first: vec4f,
  second: vec4f,
}
const VECTOR: u32 = 4;

fn unpackVector(vector: KvVector) -> array<vec2f, VECTOR> {
  return array<vec2f, VECTOR>(vector.first.xy, vector.first.zw, vector.second.xy, vector.second.zw);
}
