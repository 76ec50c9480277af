/// Adds Σ ±inputs of a word, of BATCH rows, to the sums of SPAN outputs: a set bit turns the sign. Inputs in f32.
fn addWord(copy: u32, word: u32, bits: array<u32, SPAN>, sums: ptr<function, array<f32, SUMS>>) {
  for (var step = 0u; step < 8u; step++) {
    let shifts = signShifts(step);
    for (var b = 0u; b < BATCH; b++) {
      let inputs = scaled[((copy * MAX_ROWS + b) * 8u + step) * WORDS + word];
      for (var o = 0u; o < SPAN; o++) {
        (*sums)[o * BATCH + b] += signedSum(inputs, bits[o], shifts);
      }
    }
  }
}
