const STEPS: u32 = 5; // vectors of the 32 inputs of a word: two of high bytes, two of low ones, scale and sum

/// Adds a word's Σ ±inputs of four rows to the sums of four outputs.
fn addTile(depth: u32, row: u32, output: u32, sums: ptr<function, array<vec4f, 4>>) {
  var high = array<vec4i, 4>();
  var low = array<vec4i, 4>();
  let start = depth * STEPS * TILE + row;
  for (var half = 0u; half < 2u; half++) {
    for (var o = 0u; o < 4u; o++) {
      let negative = setSigns(bits[depth * TILE + output + o], half);
      for (var r = 0u; r < 4u; r++) {
        high[o][r] += dotBytes(negative, inputs[start + half * TILE + r]);
        low[o][r] += dotBytes(negative, inputs[start + (2u + half) * TILE + r]);
      }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    let last = inputs[start + 4u * TILE + r];
    for (var o = 0u; o < 4u; o++) {
      (*sums)[o][r] += signedSum(last, high[o][r], low[o][r]);
    }
  }
}
