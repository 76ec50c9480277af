import type { TopLogits } from './engine.ts';

/** A token and the natural logarithm of its probability. */
export interface TokenLogprob {
  id: number;
  logprob: number;
}

/** The token that was chosen, and the most likely ones in its place. */
export interface ChosenLogprob extends TokenLogprob {
  /** Most likely first (of equals the lower id). */
  top: TokenLogprob[];
}

/**
 * Log-probabilities under the model itself: softmax of the logits, before temperature and penalties.
 * @param logits `[vocab]` f32
 * @param count how many of the most likely tokens to name
 */
export function tokenLogprobs(logits: Float32Array, chosen: number, count: number): ChosenLogprob {
  let top = -Infinity;
  for (const logit of logits) if (logit > top) top = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const normaliser = top + Math.log(sum);
  const of = (id: number): TokenLogprob => ({ id, logprob: (logits[id] ?? -Infinity) - normaliser });
  return { ...of(chosen), top: mostLikely(logits, count).map(of) };
}

/** The same from an engine's most likely tokens; the chosen one is among them. */
export function topLogprobs(
  { ids, logits, logSumExp }: TopLogits,
  chosen: number,
  count: number,
): ChosenLogprob {
  const all = ids.map((id, i) => ({ id, logprob: (logits[i] ?? -Infinity) - logSumExp }));
  const own = all.find(({ id }) => id === chosen) ?? { id: chosen, logprob: -Infinity };
  return { ...own, top: all.slice(0, count) };
}

/** Ids of the `count` largest logits, by insertion: the count is small. */
function mostLikely(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  if (count <= 0) return ids;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? -Infinity;
    if (ids.length === count && logit <= (logits[ids[count - 1] ?? 0] ?? 0)) continue;
    let at = ids.length;
    while (at > 0 && (logits[ids[at - 1] ?? 0] ?? 0) < logit) at--;
    ids.splice(at, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}
