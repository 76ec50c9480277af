// A row of HIDDEN elements among the lanes of a workgroup: each keeps ROUNDS quads of it, and memory is read once.
const QUADS: u32 = WORDS * 8u;
const ROUNDS: u32 = (QUADS + WORKGROUP - 1u) / WORKGROUP;
