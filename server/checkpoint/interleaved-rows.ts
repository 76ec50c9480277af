/**
 * Where a row of a q or k projection in Hugging Face's order stands in Meta's, which llama2.c and GGUF files keep. RoPE turns
 * pairs of rows of a head: Hugging Face has them half a head apart, (i, i + d/2), Meta side by side, (2i, 2i + 1).
 */
export function interleavedRow(row: number, headDim: number): number {
  const inHead = row % headDim;
  const half = headDim / 2;
  return row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
}
