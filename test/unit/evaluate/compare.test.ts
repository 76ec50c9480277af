import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { compare, type CompareOptions, type ComparedModel } from '../../../server/evaluate/compare.ts';
import { comparisonMarkdown } from '../../../server/evaluate/comparison-table.ts';
import { loadTask } from '../../../server/evaluate/run-task.ts';
import { quantize } from '../../../server/svid/quantize.ts';
import { byteTokens, writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { editTensors } from '../../reference/edit-tensors.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { writeRandomCheckpoint, type RandomCheckpointOptions } from '../../reference/random-checkpoint.ts';
import { slidingPerplexity } from '../../reference/sliding-perplexity.ts';

const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'onebit-compare-test-'));
const at = (name: string): string => join(folder, name);
const text = 'A man is sitting on a roof. He starts pulling up roofing.\n';
const [hidden, ffn, vocab, layers] = [32, 48, byteTokens.vocabSize, 2];

function writeModel(name: string, options: Partial<RandomCheckpointOptions>): void {
  writeRandomCheckpoint(at(name), {
    ...{ layout: 'full', vocabSize: vocab, hiddenSize: hidden, intermediateSize: ffn, layers },
    ...{ maxPositions: 64, seed: 21, ...options },
  });
  writeByteTokenizer(at(name));
}

beforeAll(async () => {
  writeModel('teacher', {});
  writeModel('student', { layout: 'onebit', seed: 22 });
  writeFileSync(at('text.txt'), text);
  // The naive baseline by its definition, in float64, written as a model for the reference.
  cpSync(at('teacher'), at('rounded'), { recursive: true });
  editTensors(at('rounded'), (name, [rows = 0, columns = 0], values) => {
    if (!name.includes('_proj.weight')) return;
    for (let row = 0; row < rows; row++) {
      const start = row * columns;
      const mean =
        Array.from(values.subarray(start, start + columns)).reduce((sum, w) => sum + Math.abs(w), 0) /
        columns;
      for (let i = start; i < start + columns; i++) values[i] = (values[i] ?? 0) >= 0 ? mean : -mean;
    }
  });
  await quantize(at('teacher'), at('svid'));
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const options: CompareOptions = {
  teacher: at('teacher'),
  students: [at('student')],
  baselines: ['rtn', 'svid'],
  text: at('text.txt'),
  window: 24,
  stride: 16,
  maxTokens: undefined,
  tasks: [],
  engine: { path: 'portable' },
};

describe('compare', () => {
  test('each row is the model that it names: perplexity as in float64, sizes in closed form', async () => {
    const tasks = [await loadTask({ task: 'piqa', file: join(here, 'tasks', 'piqa.jsonl') }, 2)];
    const { models } = await compare({ ...options, tasks }, {});
    expect(models.map(({ role, name }) => [role, name])).toEqual([
      ['teacher', 'teacher'],
      ['rtn', 'round-to-nearest'],
      ['svid', 'SVID only'],
      ['student', 'student'],
    ]);
    const ids = [...Buffer.from(text)];
    for (const [i, name] of ['teacher', 'rounded', 'svid', 'student'].entries()) {
      const expected = slidingPerplexity(new LlamaReference(at(name)), ids, 24, 16);
      const model = models[i] as ComparedModel;
      expect(model.perplexity?.tokens).toBe(ids.length - 1);
      expect(model.perplexity?.nll).toBeCloseTo(expected.nll, 4);
      expect(model.tasks.map(({ task, questions }) => [task, questions])).toEqual([['piqa', 2]]);
    }
    // A block: q, k, v, o are hidden × hidden here, gate and up hidden × ffn, down ffn × hidden.
    const weights = layers * (4 * hidden * hidden + 3 * hidden * ffn);
    const [outs, ins] = [layers * (5 * hidden + 2 * ffn), layers * (6 * hidden + ffn)];
    const others = 2 * vocab * hidden + (2 * layers + 1) * hidden;
    const bytes = models.map((model) => model.bytes);
    const bits = models.map((model) => model.bitsPerWeight);
    expect(bytes[0]).toBe(4 * (weights + others));
    expect(bytes[1]).toBe(weights / 8 + 2 * outs + 2 * others);
    expect(bytes[2]).toBe(weights / 8 + 2 * (outs + ins) + 2 * others);
    expect(bytes[3]).toBe(bytes[2]);
    expect(bits[0]).toBe(32);
    expect(bits[1]).toBeCloseTo(1 + (16 * outs) / weights, 12);
    expect(bits[2]).toBeCloseTo(1 + (16 * (outs + ins)) / weights, 12);
    expect(bits[3]).toBe(bits[2]);
  });

  test('latent weights of training count as what they will be packed into', async () => {
    writeModel('latent', { layout: 'bitllama-training' });
    const { models } = await compare(
      { ...options, students: [at('student'), at('latent')], baselines: [] },
      {},
    );
    expect(models.map(({ role }) => role)).toEqual(['teacher', 'student', 'student']);
    expect(models[2]?.bytes).toBe(models[1]?.bytes);
  });

  test('nothing stays in the temporary folder, neither at the end nor after an abort', async () => {
    mkdirSync(at('temporary'), { recursive: true });
    vi.stubEnv('TMPDIR', at('temporary'));
    const stop = new AbortController();
    const phases = new Set<string>();
    const asked = compare(options, {
      signal: stop.signal,
      onProgress: ({ phase }) => {
        phases.add(phase);
        if (phase.startsWith('SVID only: perplexity')) stop.abort();
      },
    });
    await expect(asked).rejects.toMatchObject({ code: 'cancelled' });
    expect(phases).toContain('SVID');
    expect(phases).toContain('teacher: perplexity');
    expect(readdirSync(at('temporary'))).toEqual([]);
    await compare({ ...options, students: [] }, {});
    expect(readdirSync(at('temporary'))).toEqual([]);
  });

  test('models that cannot be compared are refused before anything is measured', async () => {
    const measured = vi.fn();
    const refused = (change: Partial<CompareOptions>) =>
      compare({ ...options, ...change }, { onProgress: measured });
    await expect(refused({ teacher: at('student') })).rejects.toThrow(/student is a 1-bit model/);
    writeModel('larger', { layout: 'onebit', vocabSize: vocab + 8 });
    await expect(refused({ students: [at('larger')] })).rejects.toThrow(/vocabulary of 272.*one of 264/);
    writeModel('other-tokens', { layout: 'onebit' });
    writeByteTokenizer(at('other-tokens'), { swapped: true });
    await expect(refused({ students: [at('other-tokens')] })).rejects.toThrow(/another tokenizer/);
    await expect(refused({ window: 65 })).rejects.toThrow(/65 tokens does not fit: there are 64 positions/);
    writeModel('shorter', { layout: 'onebit', maxPositions: 16 });
    await expect(refused({ students: [at('shorter')] })).rejects.toThrow(/there are 16 positions/);
    expect(measured).not.toHaveBeenCalled();
  });
});

test('the table in Markdown', () => {
  const perplexity = {
    nll: 3,
    ppl: 20.0855,
    tokens: 900,
    stderr: 0.514,
    window: 512,
    stride: 256,
    windows: 3,
  };
  const tasks = (value: number) => [
    {
      ...{ task: 'piqa' as const, file: 'valid.jsonl', questions: 40, truncated: 1, seconds: 2 },
      scores: [
        { name: 'acc' as const, value, stderr: 0.0775 },
        { name: 'acc_bytes' as const, value, stderr: 0.0775 },
      ],
    },
  ];
  const markdown = comparisonMarkdown({
    text: 'held-out.txt',
    models: [
      { role: 'teacher', name: 'a|b', bytes: 9e6, bitsPerWeight: 16, perplexity, tasks: tasks(0.625) },
      {
        ...{ role: 'svid' as const, name: 'SVID only', bytes: 2_578_000, bitsPerWeight: 1.10375 },
        perplexity: { ...perplexity, ppl: 7942.4, stderr: 178.8 },
        tasks: tasks(0.55),
      },
    ],
  });
  expect(markdown).toBe(
    [
      '| model | size | bits a weight | perplexity | × teacher | piqa acc |',
      '| --- | ---: | ---: | ---: | ---: | ---: |',
      '| teacher: a\\|b | 9 MB | 16 | 20.09 ± 0.51 | 1 | 0.6250 ± 0.0775 |',
      '| SVID only, 1-bit | 2.578 MB | 1.104 | 7942 ± 179 | 395.4 | 0.5500 ± 0.0775 |',
      '',
      'Perplexity of 900 tokens in windows of 512 tokens, stride 256. piqa: 40 questions, 1 of them cut to the ' +
        'context. ± is the standard error. Bits a weight: of the linear layers of the blocks, scales included.',
      '',
    ].join('\n'),
  );
});
