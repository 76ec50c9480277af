import type { Engine, Sequence, TopLogits } from '../engine/engine.ts';
import { throwIfCancelled, OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';

export interface SpeedOptions {
  /** Tokens of the prompt that is processed at once. */
  prefill: number;
  /** Tokens generated after it, one by one. */
  decode: number;
  /** Sequences that decode together as well, each after such a prompt; 1: none. */
  together?: number;
  /** Measured rounds, after one that only warms up. */
  repeats: number;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

export interface Speed {
  tokens: number;
  /** Median over the rounds. */
  tokensPerSecond: number;
}

/**
 * Prefill and decode speed of one sequence: a prompt at once, then greedy tokens one by one. With `together` also that
 * of several sequences that decode side by side, all of their tokens counted.
 * @throws bad-request when prompt and generated tokens do not fit the context
 */
export async function measureSpeed(
  engine: Engine,
  { prefill, decode, together = 1, repeats, signal, onProgress }: SpeedOptions,
): Promise<{ prefill: Speed; decode: Speed; together?: Speed & { sequences: number } }> {
  if (prefill + decode > engine.contextLength) {
    throw new OneBitError(
      'bad-request',
      `${prefill} + ${decode} tokens do not fit the context of ${engine.contextLength}: ask for fewer.`,
    );
  }
  const { vocabSize } = engine.config;
  const prompt = Int32Array.from({ length: prefill }, (_, i) => (i * 7919 + 11) % vocabSize);
  const speeds: Record<'prefill' | 'decode' | 'together', number[]> = {
    prefill: [],
    decode: [],
    together: [],
  };
  const sequences = Array.from({ length: together }, () => engine.open());
  const timed = async (
    kind: keyof typeof speeds,
    tokens: number,
    work: () => Promise<void>,
    counts: boolean,
  ) => {
    const start = performance.now();
    await work();
    if (counts) speeds[kind].push((1000 * tokens) / (performance.now() - start));
  };
  try {
    for (let round = 0; round <= repeats; round++) {
      for (const sequence of sequences) sequence.truncate(0);
      const one = new GreedyTokens(engine, sequences.slice(0, 1));
      await timed('prefill', prefill, () => one.step([prompt], signal), round > 0);
      const decodeAll = async (of: GreedyTokens) => {
        for (let i = 0; i < decode; i++) await of.step(undefined, signal);
      };
      await timed('decode', decode, () => decodeAll(one), round > 0);
      if (together > 1) {
        for (const sequence of sequences) sequence.truncate(0);
        const all = new GreedyTokens(engine, sequences);
        await all.step(
          sequences.map(() => prompt),
          signal,
        );
        await timed('together', together * decode, () => decodeAll(all), round > 0);
      }
      onProgress?.({ phase: 'measure', done: round + 1, total: repeats + 1, unit: 'steps' });
    }
  } finally {
    for (const sequence of sequences) sequence.dispose();
  }
  const speed = (tokens: number, kind: keyof typeof speeds) => ({
    tokens,
    tokensPerSecond: median(speeds[kind]),
  });
  return {
    prefill: speed(prefill, 'prefill'),
    decode: speed(decode, 'decode'),
    ...(together > 1 ? { together: { sequences: together, ...speed(together * decode, 'together') } } : {}),
  };
}

/** Sequences that go on with their likeliest tokens, as greedy completions do: all in one pass. */
class GreedyTokens {
  private next: ArrayLike<number>[] = [];

  constructor(
    private readonly engine: Engine,
    private readonly sequences: readonly Sequence[],
  ) {}

  /** @param tokens of each sequence; those that the last step chose if absent */
  async step(tokens = this.next, signal?: AbortSignal): Promise<void> {
    throwIfCancelled(signal);
    // An engine that finds the likeliest token where its logits are gives no logits.
    const tops = this.sequences.map((): TopLogits => ({ wanted: 1, ids: [], logits: [], logSumExp: 0 }));
    const outputs = await this.engine.forward(
      this.sequences.map((sequence, i) => ({
        sequence,
        tokens: tokens[i] ?? [],
        logits: 'last',
        top: tops[i],
      })),
      signal,
    );
    this.next = tops.map(({ ids }, i) => [ids[0] ?? best(outputs[i])]);
  }
}

function best(logits: Float32Array | undefined): number {
  if (logits === undefined) return 0;
  let at = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[at] as number)) at = i;
  return at;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}
