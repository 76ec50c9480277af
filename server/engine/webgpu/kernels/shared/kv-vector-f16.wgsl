// Four neighbouring pairs of the KV cache in fp16: what a lane reads at once.
alias KvVector = vec4u;
const VECTOR: u32 = 4;

fn unpackVector(vector: KvVector) -> array<vec2f, VECTOR> {
  return array<vec2f, VECTOR>(
    unpack2x16float(vector.x),
    unpack2x16float(vector.y),
    unpack2x16float(vector.z),
    unpack2x16float(vector.w),
  );
}
