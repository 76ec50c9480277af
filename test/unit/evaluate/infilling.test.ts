import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine } from '../../../server/engine/engine.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { measureInfilling, type AskedPrompt } from '../../../server/evaluate/compare-infilling.ts';
import { fillIn, type InfillQuestion } from '../../../server/evaluate/infilling.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../../../server/tokenizer/tokenizer.ts';
import { byteTokens, writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { editTensors } from '../../reference/edit-tensors.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-infilling-'));
let engine: Engine;
let tokenizer: Tokenizer;

beforeAll(async () => {
  writeRandomCheckpoint(folder, {
    ...{ layout: 'full', vocabSize: byteTokens.vocabSize, hiddenSize: 32, intermediateSize: 48, layers: 1 },
    ...{ eosTokenId: end, seed: 3 },
  });
  // Only a few tokens have logits: the others' are 0, below the largest of these nearly always.
  editTensors(folder, (name, [, columns = 0], values) => {
    if (name !== 'lm_head.weight') return;
    for (let id = 0; id < byteTokens.vocabSize; id++) {
      if (!written.includes(id)) values.fill(0, id * columns, (id + 1) * columns);
    }
  });
  writeByteTokenizer(folder);
  engine = await openEngine(folder, { path: 'portable', sequences: 3 });
  tokenizer = await loadTokenizer(folder);
});
afterAll(async () => {
  await engine?.dispose();
  rmSync(folder, { recursive: true });
});

/** What ends a line: its end, the model's end token, and the parts of a prompt. */
const end = 70;
const ends = [10, end, byteTokens.suffix];
/** What the model writes. */
const written = [...ends, ...Buffer.from('abcde ')];

/** Gaps that the model, run greedily in float64, fills with a line of at most five tokens, and others. */
function findQuestions(
  wanted: number,
  prompt: 'infill' | 'prefix' = 'infill',
): { filled: InfillQuestion[]; other: InfillQuestion[] } {
  const reference = new LlamaReference(folder);
  const [filled, other]: [InfillQuestion[], InfillQuestion[]] = [[], []];
  for (let i = 0; filled.length < wanted && i < 300; i++) {
    const prefix = i.toString(36);
    const suffix = 's';
    const { prefix: PRE, suffix: SUF, middle: MID } = byteTokens;
    const whole = [PRE, ...Buffer.from(prefix), SUF, ...Buffer.from(suffix), MID];
    const ids = reference.greedy(prompt === 'prefix' ? [...Buffer.from(prefix)] : whole, 6);
    const length = ids.findIndex((id) => ends.includes(id));
    const text = Buffer.from(ids.slice(0, Math.max(length, 0)))
      .toString('latin1')
      .trimEnd();
    if (text.length > 1) filled.push({ prefix, suffix, expected: text });
    else if (other.length < wanted) other.push({ prefix, suffix, expected: 'return' });
  }
  return { filled, other };
}

describe('infilling', () => {
  test('the line must be the expected one, as greedy decoding in float64 writes it', async () => {
    const { filled, other } = findQuestions(3);
    expect([filled.length, other.length]).toEqual([3, 3]);
    // Too little and too much are wrong as well.
    const longer = filled.map((question) => ({ ...question, expected: `${question.expected}x` }));
    const shorter = filled.map((question) => ({ ...question, expected: question.expected.slice(0, 1) }));
    const questions = [...filled, ...other, ...longer, ...shorter];
    const seen: number[] = [];
    const { right, truncated } = await fillIn(engine, tokenizer, questions, {
      sequences: 3,
      onQuestion: (done) => seen.push(done),
    });
    expect(right).toEqual(questions.map((_, i) => i < 3));
    expect(truncated).toBe(0);
    expect(seen).toEqual(questions.map((_, i) => i + 1));
  });

  test('a model that is not to infill is asked from the prefix, unless it is made to', async () => {
    const prefixed = findQuestions(3, 'prefix').filled;
    const infilled = findQuestions(3).filled;
    const questions = [...prefixed, ...infilled];
    const configured = join(folder, 'tokenizer_config.json');
    writeFileSync(configured, JSON.stringify({ infill: false }));
    try {
      const ask = (prompts: AskedPrompt[]) =>
        measureInfilling({ name: 'm', path: folder }, questions, prompts, { path: 'portable' }, {});
      const figures = await ask(['completion', 'infill', 'prefix']);
      expect(figures.map(({ prompt, forced }) => [prompt, forced])).toEqual([
        ['prefix', false],
        ['infill', true],
      ]);
      const right = { prefix: findQuestions(300, 'prefix').filled, infill: findQuestions(300).filled };
      // Each is right where the reference, run with its kind of prompt, wrote the line.
      const agrees = (kind: 'infill' | 'prefix') =>
        questions.filter(({ prefix, expected }) =>
          right[kind].some((each) => each.prefix === prefix && each.expected === expected),
        ).length / questions.length;
      expect(figures[0]?.score.value).toBeCloseTo(agrees('prefix'), 12);
      expect(figures[1]?.score.value).toBeCloseTo(agrees('infill'), 12);
    } finally {
      rmSync(configured);
    }
    const [usual] = await measureInfilling(
      { name: 'm', path: folder },
      infilled,
      ['completion'],
      { path: 'portable' },
      {},
    );
    expect(usual).toMatchObject({ prompt: 'infill', forced: false, score: { value: 1 } });
  });

  test('prompts that had to be cut are counted', async () => {
    const question = { prefix: 'a', suffix: 'b', expected: 'c' };
    const long = [
      { ...question, prefix: 'p'.repeat(200) },
      { ...question, suffix: 's'.repeat(200) },
    ];
    const { truncated } = await fillIn(engine, tokenizer, [question, ...long], { sequences: 1 });
    expect(truncated).toBe(2);
  });

  test('a tokenizer without the tokens is refused', async () => {
    const question = { prefix: 'a', suffix: 'b', expected: 'c' };
    const plain: Tokenizer = {
      vocabSize: tokenizer.vocabSize,
      bosId: undefined,
      eosIds: [],
      infill: undefined,
      special: new Map(),
      tokenBytes: (id) => tokenizer.tokenBytes(id),
      encode: (text) => tokenizer.encode(text),
      encoding: (text) => tokenizer.encoding(text),
      decode: (ids) => tokenizer.decode(ids),
      tokenText: (id) => tokenizer.tokenText(id),
      stream: () => tokenizer.stream(),
    };
    await expect(fillIn(engine, plain, [question], { sequences: 1 })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('fill-in-the-middle'),
    });
  });

  test('an abort ends it, and the engine is free again', async () => {
    const stop = new AbortController();
    const question = { prefix: 'a', suffix: 'b', expected: 'c' };
    const asked = fillIn(engine, tokenizer, Array<InfillQuestion>(30).fill(question), {
      sequences: 3,
      signal: stop.signal,
      onQuestion: () => stop.abort(),
    });
    await expect(asked).rejects.toMatchObject({ code: 'cancelled' });
    for (const sequence of Array.from({ length: 3 }, () => engine.open())) sequence.dispose();
  });
});
