// x ⊙ g in f32, as the 1-bit products read it. Lanes of those take neighbouring words of 32 signs, so four inputs of
// neighbouring words stand next to each other: [copy, MAX_ROWS, 8, WORDS, 4].
alias Scaled = f32;

fn scaledIndex(copy: u32, row: u32, k: u32, words: u32) -> u32 {
  return (((copy * MAX_ROWS + row) * 8u + (k % 32u) / 4u) * words + k / 32u) * 4u + k % 4u;
}

/// The inputs that one lane stores.
fn quadInputs(quad: u32) -> vec4u {
  return 4u * quad + vec4u(0u, 1u, 2u, 3u);
}

/// Stores COPIES of x ⊙ g of a quad. Every lane of the workgroup has to come here, and `isInside` says which have a quad.
fn storeQuad(row: u32, quad: u32, isInside: bool, values: array<vec4f, COPIES>, lane: u32) {
  if (isInside) {
    for (var copy = 0u; copy < COPIES; copy++) {
      let at = scaledIndex(copy, row, 4u * quad, WORDS);
      for (var i = 0u; i < 4u; i++) {
        scaled[at + i] = values[copy][i];
      }
    }
  }
}
