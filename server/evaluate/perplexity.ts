import type { Engine } from '../engine/engine.ts';
import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';

export interface PerplexityOptions {
  /** Tokens a window holds; at most the engine's context. */
  window: number;
  /** Tokens between the starts of two windows; `window` = no overlap. */
  stride: number;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

export interface PerplexityResult {
  /** Mean negative log-likelihood a predicted token, in nats. */
  nll: number;
  /** exp(nll). */
  ppl: number;
  /** Predicted tokens: those that have at least one token before them in their window. */
  tokens: number;
  /** Standard error of `ppl`: ppl · s / √tokens, s the sample deviation of the tokens' log-likelihoods. */
  stderr: number;
  window: number;
  stride: number;
  windows: number;
}

/** The window that published perplexities are measured with; models of fewer positions take all of theirs. */
export const usualWindow = 2048;

/**
 * The window that is asked for, or the usual one as far as the model has positions.
 * @throws bad-request for a window that the model has no positions for
 */
export function chooseWindow(asked: number | undefined, positions: number): number {
  if (asked !== undefined && asked > positions) {
    throw new OneBitError(
      'bad-request',
      `A window of ${asked} tokens does not fit: there are ${positions} positions. Ask for at most that.`,
    );
  }
  return asked ?? Math.min(usualWindow, positions);
}

/** Positions whose logits are asked for at once: 256 × vocabulary floats. */
const block = 256;

/**
 * Perplexity of token sequences by sliding windows (as Hugging Face's guide computes it): each token
 * is scored once, in the first window that holds it together with a token before it. So with
 * stride < window all but the first `window` tokens have at least window − stride tokens before them;
 * with stride = window (GPTQ's convention, but for the last, shorter window, which counts here) the first token of each window is only context.
 * @throws bad-request when nothing can be predicted, or a window does not fit the context.
 */
export async function perplexity(
  engine: Engine,
  sequences: readonly (readonly number[])[],
  { window, stride, signal, onProgress }: PerplexityOptions,
): Promise<PerplexityResult> {
  check(engine, sequences, window, stride);
  const vocab = engine.config.vocabSize;
  const total = sequences.reduce((sum, sequence) => sum + sequence.length, 0);
  const started = performance.now();
  let done = 0;
  let nll = 0;
  let squares = 0;
  let tokens = 0;
  let windows = 0;
  const cache = engine.open();
  try {
    for (const sequence of sequences) {
      let scoredTo = 0;
      for (let begin = 0; begin < sequence.length - 1; begin += stride) {
        const end = Math.min(begin + window, sequence.length);
        const firstScored = Math.max(scoredTo, begin + 1);
        cache.truncate(0);
        // The last token of a window predicts nothing in it.
        for (let from = begin; from < end - 1; from += block) {
          throwIfCancelled(signal);
          const to = Math.min(from + block, end - 1);
          const wanted = to >= firstScored;
          const [logits] = await engine.forward(
            [{ sequence: cache, tokens: sequence.slice(from, to), logits: wanted ? 'all' : 'none' }],
            signal,
          );
          if (!wanted || logits === undefined) continue;
          for (let position = Math.max(from, firstScored - 1); position < to; position++) {
            const row = logits.subarray((position - from) * vocab, (position - from + 1) * vocab);
            const surprise = negativeLogLikelihood(row, sequence[position + 1] ?? 0);
            nll += surprise;
            squares += surprise * surprise;
            tokens++;
          }
        }
        scoredTo = end;
        windows++;
        onProgress?.({
          phase: 'perplexity',
          done: done + end,
          total,
          unit: 'tokens',
          remainingSeconds: ((performance.now() - started) / 1000) * (total / (done + end) - 1),
          metrics: { perplexity: Math.exp(nll / Math.max(tokens, 1)) },
        });
        if (end === sequence.length) break;
      }
      done += sequence.length;
    }
  } finally {
    cache.dispose();
  }
  const mean = nll / tokens;
  const ppl = Math.exp(mean);
  const variance = Math.max(squares - tokens * mean * mean, 0) / Math.max(tokens - 1, 1);
  return { nll: mean, ppl, tokens, stderr: ppl * Math.sqrt(variance / tokens), window, stride, windows };
}

function check(
  engine: Engine,
  sequences: readonly (readonly number[])[],
  window: number,
  stride: number,
): void {
  const { vocabSize } = engine.config;
  if (window < 2 || window > engine.contextLength) {
    throw new OneBitError(
      'bad-request',
      `The window must be 2 to ${engine.contextLength} tokens, not ${window}.`,
    );
  }
  if (stride < 1 || stride > window) {
    throw new OneBitError('bad-request', `The stride must be 1 to the window (${window}), not ${stride}.`);
  }
  if (sequences.every((sequence) => sequence.length < 2)) {
    throw new OneBitError('bad-request', 'The text has fewer than two tokens: there is nothing to predict.');
  }
  for (const sequence of sequences) {
    const outside = sequence.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (outside !== undefined) {
      throw new OneBitError(
        'bad-request',
        `Token id ${outside} is outside the vocabulary (0 to ${vocabSize - 1}).`,
      );
    }
  }
}

/** −log softmax(logits)[target] in float64. */
export function negativeLogLikelihood(logits: Float32Array, target: number): number {
  let top = -Infinity;
  for (const logit of logits) if (logit > top) top = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  return Math.log(sum) + top - (logits[target] ?? NaN);
}
