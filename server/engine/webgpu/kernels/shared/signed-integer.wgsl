// Inputs of a 1-bit product in whole numbers of 16 bits, see scaled-integer: four bytes at a time.

/// Of 16 inputs, a byte each that is 1 where the sign is set: byte b of component c is input 8 b + c + 4 half.
fn setSigns(bits: u32, half: u32) -> vec4u {
  return (vec4u(bits) >> (vec4u(0u, 1u, 2u, 3u) + 4u * half)) & vec4u(0x01010101u);
}

fn dotBytes(negative: vec4u, bytes: vec4u) -> i32 {
  return dot4I8Packed(negative.x, bytes.x) + dot4I8Packed(negative.y, bytes.y) + dot4I8Packed(negative.z, bytes.z) +
    dot4I8Packed(negative.w, bytes.w);
}

/// Σ ±inputs of a word.
/// @param last scale and sum of the word
/// @param high, low sums of the bytes of inputs whose sign is set
fn signedSum(last: vec4u, high: i32, low: i32) -> f32 {
  return bitcast<f32>(last.x) * f32(bitcast<i32>(last.y) - 2 * (256 * high + low));
}
