// Inputs of a 1-bit product with their signs, four pairs in fp16 at a step: half the instructions of f32 where a
// GPU adds pairs. Four pairs are summed in fp16, their sums in f32.
const STEPS: u32 = 4; // for the 32 inputs of a word of signs

/// What brings the signs of each pair of a step, k and k + 16, to the places of two halves'.
fn signShifts(step: u32) -> vec4u {
  return vec4u(15u, 14u, 13u, 12u) - 4u * step;
}

/// Σ ±inputs of a step (see scaledIndex): a set bit turns the sign.
fn signedSum(inputs: vec4u, bits: u32, shifts: vec4u) -> f32 {
  let signed = inputs ^ ((vec4u(bits) << shifts) & vec4u(0x80008000u));
  let sum = (bitcast<vec2h>(signed.x) + bitcast<vec2h>(signed.y)) + (bitcast<vec2h>(signed.z) + bitcast<vec2h>(signed.w));
  return f32(sum.x) + f32(sum.y);
}
