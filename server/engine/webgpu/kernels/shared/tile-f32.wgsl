const STEPS: u32 = 8; // vectors of the 32 inputs of a word

/// Adds a word's Σ ±inputs of four rows to the sums of four outputs.
fn addTile(depth: u32, row: u32, output: u32, sums: ptr<function, array<vec4f, 4>>) {
  for (var step = 0u; step < STEPS; step++) {
    let shifts = signShifts(step);
    let at = (depth * STEPS + step) * TILE + row;
    for (var o = 0u; o < 4u; o++) {
      let word = bits[depth * TILE + output + o];
      (*sums)[o] += vec4f(
        signedSum(inputs[at], word, shifts),
        signedSum(inputs[at + 1u], word, shifts),
        signedSum(inputs[at + 2u], word, shifts),
        signedSum(inputs[at + 3u], word, shifts),
      );
    }
  }
}
