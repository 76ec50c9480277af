import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine } from '../../../server/engine/engine.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { chooseWindow, perplexity } from '../../../server/evaluate/perplexity.ts';
import { bitsPerByte } from '../../../server/evaluate/text-tokens.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';
import { slidingPerplexity } from '../../reference/sliding-perplexity.ts';

let folder: string;
let engine: Engine;
let reference: LlamaReference;
const ids = Array.from({ length: 70 }, (_, i) => (i * i * 7 + 3 * i) % 29);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-perplexity-'));
  writeRandomCheckpoint(folder, { layout: 'full', maxPositions: 40, hiddenSize: 32, seed: 11 });
  engine = await openEngine(folder, { path: 'portable' });
  reference = new LlamaReference(folder);
});
afterAll(async () => {
  await engine?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe('perplexity', () => {
  test('one window is the plain mean over all but the first token', async () => {
    const { nll, ppl, tokens, windows } = await perplexity(engine, [ids.slice(0, 30)], {
      window: 40,
      stride: 40,
    });
    const expected = reference.perplexity(ids.slice(0, 30));
    expect({ tokens, windows }).toEqual({ tokens: 29, windows: 1 });
    expect(nll).toBeCloseTo(expected.nll, 5);
    expect(ppl).toBeCloseTo(Math.exp(nll), 10);
  });

  // Without overlap, with little, with much, one by one; windows that end with the text, and that do not.
  test.each([
    [32, 32, 3],
    [35, 35, 2],
    [24, 10, 6],
    [40, 39, 2],
    [7, 3, 22],
    [12, 1, 59],
    [2, 2, 35],
    [2, 1, 69],
  ])('windows of %i, stride %i: as a loop over the tokens in float64', async (window, stride, windows) => {
    const result = await perplexity(engine, [ids], { window, stride });
    const expected = slidingPerplexity(reference, ids, window, stride);
    expect(result).toMatchObject({ tokens: expected.tokens, window, stride, windows });
    expect(result.nll).toBeCloseTo(expected.nll, 5);
    expect(result.stderr / expected.stderr).toBeCloseTo(1, 5);
    // Without overlap a window's first token is only context; otherwise every token but the text's first counts.
    if (stride < window) expect(result.tokens).toBe(ids.length - 1);
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

test('the window is the usual 2048 as far as there are positions, and never more', () => {
  expect(chooseWindow(undefined, 512)).toBe(512);
  expect(chooseWindow(undefined, 8192)).toBe(2048);
  expect(chooseWindow(4096, 8192)).toBe(4096);
  expect(() => chooseWindow(2048, 512)).toThrow(/2048 tokens does not fit: there are 512 positions/);
});

test('bits a byte: nats a token to bits, by the tokens a byte', () => {
  expect(bitsPerByte(Math.log(8), { tokensPerByte: 0.25 })).toBeCloseTo(0.75, 12);
});
