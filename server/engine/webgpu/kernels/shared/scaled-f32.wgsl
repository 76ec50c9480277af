// x ⊙ g in f32, as the 1-bit products read it.
alias Scaled = f32;

fn scaledValue(value: f32) -> Scaled {
  return value;
}

/// Where input k of a row stands for a 1-bit product. Lanes take neighbouring words of 32 signs, so four
/// inputs of neighbouring words stand next to each other: [copy, MAX_ROWS, 8, words, 4].
fn scaledIndex(copy: u32, row: u32, k: u32, words: u32) -> u32 {
  return (((copy * MAX_ROWS + row) * 8u + (k % 32u) / 4u) * words + k / 32u) * 4u + k % 4u;
}
