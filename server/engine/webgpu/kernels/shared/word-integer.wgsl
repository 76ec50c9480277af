/// Adds Σ ±inputs of a word, of BATCH rows, to the sums of SPAN outputs: a set bit turns the sign. Inputs in whole numbers:
/// Σ ±n = Σ n - 2 Σ of those with a set bit.
fn addWord(copy: u32, word: u32, bits: array<u32, SPAN>, sums: ptr<function, array<f32, SUMS>>) {
  var high = array<i32, SUMS>();
  var low = array<i32, SUMS>();
  for (var half = 0u; half < 2u; half++) {
    for (var b = 0u; b < BATCH; b++) {
      let start = (copy * MAX_ROWS + b) * 5u;
      let highs = scaled[(start + half) * WORDS + word];
      let lows = scaled[(start + 2u + half) * WORDS + word];
      for (var o = 0u; o < SPAN; o++) {
        let negative = setSigns(bits[o], half);
        high[o * BATCH + b] += dotBytes(negative, highs);
        low[o * BATCH + b] += dotBytes(negative, lows);
      }
    }
  }
  for (var b = 0u; b < BATCH; b++) {
    let last = scaled[((copy * MAX_ROWS + b) * 5u + 4u) * WORDS + word];
    for (var o = 0u; o < SPAN; o++) {
      let i = o * BATCH + b;
      (*sums)[i] += signedSum(last, high[i], low[i]);
    }
  }
}
