import type { LlamaReference } from './llama-forward.ts';

/**
 * Perplexity by sliding windows, token by token in float64: for each token the first window
 * [k · stride, k · stride + window) that holds it and a token before it is looked for, and the model is run
 * afresh on what stands before it there. Shares no code with server/.
 */
export function slidingPerplexity(
  model: LlamaReference,
  ids: readonly number[],
  window: number,
  stride: number,
): { nll: number; tokens: number; stderr: number } {
  const losses: number[] = [];
  for (let at = 1; at < ids.length; at++) {
    let begin = 0;
    while (at >= begin + window) begin += stride;
    if (begin === at) continue;
    const row = model.logits(ids.slice(begin, at)).at(-1) ?? new Float64Array(0);
    const total = row.reduce((sum, logit) => sum + Math.exp(logit), 0);
    losses.push(Math.log(total) - (row[ids[at] ?? 0] ?? NaN));
  }
  const tokens = losses.length;
  const nll = losses.reduce((a, b) => a + b, 0) / tokens;
  const variance = losses.reduce((sum, loss) => sum + (loss - nll) ** 2, 0) / (tokens - 1);
  return { nll, tokens, stderr: (Math.exp(nll) * Math.sqrt(variance)) / Math.sqrt(tokens) };
}
