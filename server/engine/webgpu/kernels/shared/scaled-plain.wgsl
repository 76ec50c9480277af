// The last RMSNorm, as the lm_head reads it: [MAX_ROWS, HIDDEN] f32.
alias Scaled = f32;

fn quadInputs(quad: u32) -> vec4u {
  return 4u * quad + vec4u(0u, 1u, 2u, 3u);
}

/// Stores a quad of the RMSNorm of a row.
fn storeNormed(row: u32, quad: u32, k: vec4u, value: vec4f, lane: u32) {
  for (var i = 0u; i < 4u; i++) {
    if (k[i] < HIDDEN) {
      scaled[row * HIDDEN + k[i]] = value[i];
    }
  }
}
