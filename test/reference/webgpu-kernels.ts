/**
 * What each WGSL kernel of the GPU engine has to compute, in plain loops over f64, after METHOD's equation of
 * the layer and the LLaMA paper. Shares no code with server/.
 */

/** y `[rows, out]` = (x ⊙ g) Sᵀ ⊙ h; signs `[out, in]` of ±1. */
export function signProduct(x: number[][], signs: number[][], g: number[], h: number[]): number[][] {
  return x.map((row) =>
    signs.map((s, o) => (h[o] ?? 0) * sum(row.map((value, k) => value * (g[k] ?? 0) * (s[k] ?? 0)))),
  );
}

/** LayerNorm without gain, then the bias. */
export function layerNorm(x: number[], eps: number, bias: number[] = []): number[] {
  const mean = sum(x) / x.length;
  const variance = sum(x.map((v) => (v - mean) ** 2)) / x.length;
  return x.map((v, i) => (v - mean) / Math.sqrt(variance + eps) + (bias[i] ?? 0));
}

export function rmsNorm(x: number[], gain: number[], eps: number): number[] {
  const scale = 1 / Math.sqrt(sum(x.map((v) => v * v)) / x.length + eps);
  return x.map((v, i) => v * scale * (gain[i] ?? 0));
}

/** RoPE of heads of `headDim`, halves turned together, as Hugging Face's rotate_half. */
export function rope(x: number[], position: number, headDim: number, theta: number): number[] {
  const half = headDim / 2;
  return x.map((value, i) => {
    const inHead = i % headDim;
    const angle = position * theta ** (-(inHead % half) / half);
    const other = inHead < half ? -(x[i + half] ?? 0) : (x[i - half] ?? 0);
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

/** Attention of one row's heads over the keys and values `[position][kvHeads · headDim]` up to it. */
export function attention(
  q: number[],
  keys: number[][],
  values: number[][],
  { heads, kvHeads, headDim }: { heads: number; kvHeads: number; headDim: number },
): number[] {
  return Array.from({ length: heads }, (_, head) => {
    const at = Math.floor((head * kvHeads) / heads) * headDim;
    const own = q.slice(head * headDim, (head + 1) * headDim);
    const scores = keys.map((key) => sum(own.map((v, i) => v * (key[at + i] ?? 0))) / Math.sqrt(headDim));
    const largest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = sum(weights);
    return own.map((_, i) => sum(weights.map((w, p) => (w * (values[p]?.[at + i] ?? 0)) / total)));
  }).flat();
}

export function swiglu(gate: number[], up: number[]): number[] {
  return gate.map((v, i) => (v / (1 + Math.exp(-v))) * (up[i] ?? 0));
}

/** The k largest, largest first, of equals the lower index; with the logarithm of the sum of exp. */
export function topK(logits: number[], k: number): { ids: number[]; logSumExp: number } {
  const ids = logits.map((_, id) => id).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
  const largest = logits[ids[0] ?? 0] ?? 0;
  return {
    ids: ids.slice(0, k),
    logSumExp: largest + Math.log(sum(logits.map((v) => Math.exp(v - largest)))),
  };
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
