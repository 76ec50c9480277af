// Up to three linears with an x ⊙ g of their own, whose outputs stand one after the other; a workgroup makes SPAN
// outputs of one of them.
const OUT: u32 = OUT_0 + OUT_1 + OUT_2;
const GROUPS_0: u32 = (OUT_0 + SPAN - 1u) / SPAN;
const GROUPS_1: u32 = (OUT_1 + SPAN - 1u) / SPAN;

struct Outputs {
  copy: u32, // which x ⊙ g
  first: u32,
  end: u32, // of the linear
}

fn outputsOf(group: u32) -> Outputs {
  if (group >= GROUPS_0 + GROUPS_1) {
    return Outputs(2u, OUT_0 + OUT_1 + (group - GROUPS_0 - GROUPS_1) * SPAN, OUT);
  }
  if (group >= GROUPS_0) {
    return Outputs(1u, OUT_0 + (group - GROUPS_0) * SPAN, OUT_0 + OUT_1);
  }
  return Outputs(0u, group * SPAN, OUT_0);
}
