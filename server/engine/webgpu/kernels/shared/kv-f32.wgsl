// Two neighbouring elements of the KV cache in f32.
alias KvPair = vec2f;

fn packPair(pair: vec2f) -> KvPair {
  return pair;
}

fn unpackPair(pair: KvPair) -> vec2f {
  return pair;
}
