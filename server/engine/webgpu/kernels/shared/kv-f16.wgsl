// Two neighbouring elements of the KV cache in fp16, in one word: no device feature is needed for it.
alias KvPair = u32;

fn packPair(pair: vec2f) -> KvPair {
  return pack2x16float(pair);
}

fn unpackPair(pair: KvPair) -> vec2f {
  return unpack2x16float(pair);
}
