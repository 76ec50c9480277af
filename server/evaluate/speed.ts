import type { Engine, TopLogits } from '../engine/engine.ts';
import { throwIfCancelled, OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';

export interface SpeedOptions {
  /** Tokens of the prompt that is processed at once. */
  prefill: number;
  /** Tokens generated after it, one by one. */
  decode: number;
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
 * Prefill and decode speed of one sequence: a prompt at once, then greedy tokens one by one.
 * @throws bad-request when prompt and generated tokens do not fit the context
 */
export async function measureSpeed(
  engine: Engine,
  { prefill, decode, repeats, signal, onProgress }: SpeedOptions,
): Promise<{ prefill: Speed; decode: Speed }> {
  if (prefill + decode > engine.contextLength) {
    throw new OneBitError(
      'bad-request',
      `${prefill} + ${decode} tokens do not fit the context of ${engine.contextLength}: ask for fewer.`,
    );
  }
  const { vocabSize } = engine.config;
  const prompt = Int32Array.from({ length: prefill }, (_, i) => (i * 7919 + 11) % vocabSize);
  const prefillSpeeds: number[] = [];
  const decodeSpeeds: number[] = [];
  const sequence = engine.open();
  try {
    for (let round = 0; round <= repeats; round++) {
      sequence.truncate(0);
      let start = performance.now();
      // As greedy decoding does it: an engine that finds the likeliest token on its device gives no logits.
      let top: TopLogits = { wanted: 1, ids: [], logits: [], logSumExp: 0 };
      let [logits] = await engine.forward([{ sequence, tokens: prompt, logits: 'last', top }], signal);
      const prefillSeconds = (performance.now() - start) / 1000;
      start = performance.now();
      for (let i = 0; i < decode; i++) {
        throwIfCancelled(signal);
        const tokens = [top.ids[0] ?? best(logits)];
        top = { ...top, ids: [] };
        [logits] = await engine.forward([{ sequence, tokens, logits: 'last', top }], signal);
      }
      const decodeSeconds = (performance.now() - start) / 1000;
      onProgress?.({ phase: 'measure', done: round + 1, total: repeats + 1, unit: 'steps' });
      if (round === 0) continue;
      prefillSpeeds.push(prefill / prefillSeconds);
      decodeSpeeds.push(decode / decodeSeconds);
    }
  } finally {
    sequence.dispose();
  }
  return {
    prefill: { tokens: prefill, tokensPerSecond: median(prefillSpeeds) },
    decode: { tokens: decode, tokensPerSecond: median(decodeSpeeds) },
  };
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
