// Inputs of a 1-bit product with their signs, four in f32 at a step of eight for a word.

/// What brings the sign of each input of a step to the place of a float's.
fn signShifts(step: u32) -> vec4u {
  return vec4u(31u, 30u, 29u, 28u) - 4u * step;
}

/// Σ ±inputs of a step: a set bit turns the sign.
fn signedSum(inputs: vec4u, bits: u32, shifts: vec4u) -> f32 {
  let signed = bitcast<vec4f>(inputs ^ ((vec4u(bits) << shifts) & vec4u(0x80000000u)));
  return (signed.x + signed.y) + (signed.z + signed.w);
}
