import type { TopLogits } from './engine.ts';
import type { SamplingOptions } from './language-model.ts';

/** How many of the last tokens the repetition penalty looks at, as llama.cpp's `repeat_last_n`. */
const repetitionWindow = 64;

/**
 * Chooses the next token from logits. Order of the steps: repetition penalty, top-k, softmax at the
 * temperature, top-p, min-p, draw. One instance a request: its random numbers follow the seed.
 */
export class Sampler {
  readonly #options: SamplingOptions;
  #state: number;
  #candidates: Int32Array = new Int32Array(0);
  #weights: Float64Array = new Float64Array(0);
  #taken = 0;

  constructor(options: SamplingOptions) {
    this.#options = options;
    this.#state = (options.seed ?? Math.floor(Math.random() * 2 ** 31)) >>> 0;
  }

  /**
   * @param logits `[vocab]` f32; changed in place by the repetition penalty.
   * @param history Tokens so far, prompt included.
   * @returns The token's id.
   */
  sample(logits: Float32Array, history: readonly number[]): number {
    const { temperature, topK, topP, minP, repetitionPenalty } = this.#options;
    if (repetitionPenalty !== 1) penalise(logits, history, repetitionPenalty);
    if (temperature === 0 || this.#taken++ < (this.#options.greedyTokens ?? 0)) return argmax(logits);
    if (topK === 0 && topP === 1 && minP === 0) return this.#fromAll(logits, temperature);

    const kept = this.#largest(logits, topK > 0 ? Math.min(topK, logits.length) : logits.length);
    return this.#fromLargest(
      kept,
      Float32Array.from(kept, (id) => logits[id] ?? 0),
    );
  }

  /**
   * How many of the most likely tokens `sampleTop` needs to choose as `sample` does, at most `most`;
   * undefined where it needs the whole vocabulary.
   */
  topNeeded(most: number): number | undefined {
    const { temperature, topK, repetitionPenalty, greedyTokens = 0 } = this.#options;
    if (repetitionPenalty !== 1) return undefined;
    if (temperature === 0 || this.#taken < greedyTokens) return 1;
    return topK > 0 && topK <= most ? topK : undefined;
  }

  /** The same as `sample`, from the `topNeeded` most likely tokens at least. */
  sampleTop({ ids, logits }: TopLogits): number {
    const { temperature, topK } = this.#options;
    if (temperature === 0 || this.#taken++ < (this.#options.greedyTokens ?? 0)) return ids[0] ?? 0;
    return this.#fromLargest(ids.slice(0, topK), logits.slice(0, topK));
  }

  /** A draw from tokens in order of their logits, by top-p and min-p. */
  #fromLargest(kept: ArrayLike<number>, logits: ArrayLike<number>): number {
    const { temperature, topP, minP } = this.#options;
    const top = logits[0] ?? 0;
    const weights = new Float64Array(kept.length);
    let total = 0;
    for (let i = 0; i < kept.length; i++) {
      const weight = Math.exp(((logits[i] ?? 0) - top) / temperature);
      weights[i] = weight;
      total += weight;
    }
    // weights[0] is 1, the largest: min-p compares with it directly.
    let count = kept.length;
    if (minP > 0) while (count > 1 && (weights[count - 1] ?? 0) < minP) count--;
    if (topP < 1) {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += weights[i] ?? 0;
        if (sum >= topP * total) {
          count = i + 1;
          break;
        }
      }
    }
    let mass = 0;
    for (let i = 0; i < count; i++) mass += weights[i] ?? 0;
    let draw = this.#random() * mass;
    for (let i = 0; i < count; i++) {
      draw -= weights[i] ?? 0;
      if (draw < 0) return kept[i] ?? 0;
    }
    return kept[count - 1] ?? 0;
  }

  /** A draw from the whole softmax: the same as below, but nothing need be sorted. */
  #fromAll(logits: Float32Array, temperature: number): number {
    if (this.#weights.length !== logits.length) this.#weights = new Float64Array(logits.length);
    const weights = this.#weights;
    const top = logits[argmax(logits)] ?? 0;
    let mass = 0;
    for (let id = 0; id < logits.length; id++) {
      const weight = Math.exp(((logits[id] ?? 0) - top) / temperature);
      weights[id] = weight;
      mass += weight;
    }
    let draw = this.#random() * mass;
    for (let id = 0; id < weights.length; id++) {
      draw -= weights[id] ?? 0;
      if (draw < 0) return id;
    }
    // Rounding has left the draw at the very end.
    return argmax(logits);
  }

  /** Ids of the k largest logits, largest first (ties: lower id first). */
  #largest(logits: Float32Array, k: number): Int32Array {
    if (this.#candidates.length !== logits.length) this.#candidates = new Int32Array(logits.length);
    const ids = this.#candidates;
    let count = logits.length;
    if (k < count) {
      // A threshold from the k-th largest value leaves few ids to sort.
      const threshold = Float32Array.from(logits).sort()[logits.length - k] ?? -Infinity;
      count = 0;
      for (let id = 0; id < logits.length; id++) if ((logits[id] ?? 0) >= threshold) ids[count++] = id;
    } else {
      for (let id = 0; id < count; id++) ids[id] = id;
    }
    return ids
      .subarray(0, count)
      .sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b)
      .subarray(0, k);
  }

  /** Uniform in [0, 1): mulberry32. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** Id of the largest logit, the lowest id among equals. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let value = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? 0;
    if (logit > value) {
      value = logit;
      best = id;
    }
  }
  return best;
}

/** Divides positive and multiplies negative logits of recent tokens (Keskar et al. 2019, CTRL). */
function penalise(logits: Float32Array, history: readonly number[], penalty: number): void {
  for (const id of new Set(history.slice(-repetitionWindow))) {
    const logit = logits[id];
    if (logit !== undefined) logits[id] = logit > 0 ? logit / penalty : logit * penalty;
  }
}
