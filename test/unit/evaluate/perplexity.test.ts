import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine } from '../../../server/engine/engine.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { perplexity } from '../../../server/evaluate/perplexity.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

let folder: string;
let engine: Engine;
let reference: LlamaReference;
const ids = Array.from({ length: 70 }, (_, i) => (i * i * 7 + 3 * i) % 29);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-perplexity-'));
  writeRandomCheckpoint(folder, { layout: 'full', maxPositions: 40, seed: 11 });
  engine = await openEngine(folder, { path: 'portable' });
  reference = new LlamaReference(folder);
});
afterAll(async () => {
  await engine?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** NLL of ids[to] after ids[from..to), in float64. */
function tokenNll(from: number, to: number): number {
  const row = reference.logits(ids.slice(from, to)).at(-1) ?? new Float64Array(0);
  return Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - (row[ids[to] ?? 0] ?? NaN);
}

const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe('perplexity', () => {
  test('one window is the plain mean over all but the first token', async () => {
    const { nll, ppl, tokens } = await perplexity(engine, [ids.slice(0, 30)], { window: 40, stride: 40 });
    const expected = reference.perplexity(ids.slice(0, 30));
    expect(tokens).toBe(29);
    expect(nll).toBeCloseTo(expected.nll, 5);
    expect(ppl).toBeCloseTo(Math.exp(nll), 10);
  });

  test('windows without overlap: the first token of each is not predicted', async () => {
    const { nll, tokens } = await perplexity(engine, [ids], { window: 32, stride: 32 });
    const expected: number[] = [];
    for (let to = 1; to < ids.length; to++) {
      const from = Math.floor(to / 32) * 32;
      if (to > from) expected.push(tokenNll(from, to));
    }
    expect(tokens).toBe(expected.length);
    expect(nll).toBeCloseTo(mean(expected), 5);
  });

  test('overlapping windows: each token counts once, in the first window that holds it', async () => {
    const [window, stride] = [24, 10];
    const { nll, tokens } = await perplexity(engine, [ids], { window, stride });
    const expected: number[] = [];
    for (let to = 1; to < ids.length; to++) {
      const from = Math.max(0, Math.ceil((to + 1 - window) / stride)) * stride;
      expected.push(tokenNll(from, to));
    }
    expect(tokens).toBe(ids.length - 1);
    expect(nll).toBeCloseTo(mean(expected), 5);
  });

  test('several sequences are separate', async () => {
    const both = await perplexity(engine, [ids.slice(0, 20), ids.slice(20, 40)], { window: 40, stride: 40 });
    const first = reference.perplexity(ids.slice(0, 20)).nll;
    const second = reference.perplexity(ids.slice(20, 40)).nll;
    expect(both.nll).toBeCloseTo((first + second) / 2, 5);
  });

  test.each([
    ['a window beyond the context', [ids], 41, 41],
    ['a stride beyond the window', [ids], 20, 21],
    ['nothing to predict', [[1], []], 20, 20],
    ['a token outside the vocabulary', [[1, 2, 1_000_000]], 20, 20],
  ])('%s is refused', async (_name, sequences, window, stride) => {
    await expect(perplexity(engine, sequences, { window, stride })).rejects.toMatchObject({
      code: 'bad-request',
    });
  });

  test('an abort ends it', async () => {
    await expect(
      perplexity(engine, [ids], { window: 40, stride: 40, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'cancelled' });
  });
});
