// x ⊙ g in fp16, as the 1-bit products read it.
alias Scaled = f16;

/// What fp16 cannot hold is its largest number: no infinity may meet another sign.
fn scaledValue(value: f32) -> Scaled {
  return f16(clamp(value, -65504.0, 65504.0));
}

/// Where input k of a row stands for a 1-bit product. Inputs k and k + 16 of a word of 32 signs are a pair, so
/// that one shift brings the signs of both in place; four pairs of neighbouring words stand next to each other:
/// [copy, MAX_ROWS, 4, words, 4, 2].
fn scaledIndex(copy: u32, row: u32, k: u32, words: u32) -> u32 {
  let pair = k % 16u;
  return (((copy * MAX_ROWS + row) * 4u + pair / 4u) * words + k / 32u) * 8u + (pair % 4u) * 2u + (k % 32u) / 16u;
}
