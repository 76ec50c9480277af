// One pair of the KV cache at a time, for heads whose elements are no multiple of eight.
alias KvVector = KvPair;
const VECTOR: u32 = 1;

fn unpackVector(pair: KvVector) -> array<vec2f, VECTOR> {
  return array<vec2f, VECTOR>(unpackPair(pair));
}
