import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byteTokens, writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { continuationLikelihood } from '../reference/choice-likelihood.ts';
import { LlamaReference } from '../reference/llama-forward.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { slidingPerplexity } from '../reference/sliding-perplexity.ts';
import { onebit, onebitJson } from './onebit-command.ts';

const fixtures = join(dirname(fileURLToPath(import.meta.url)), '..', 'unit', 'evaluate', 'tasks');
const folder = mkdtempSync(join(tmpdir(), 'onebit-evaluate-'));
const [teacher, student, textFile] = [
  join(folder, 'teacher'),
  join(folder, 'student'),
  join(folder, 't.txt'),
];
const text = 'She loved to play outside in the park. One day, she saw a big, red ball.';

beforeAll(() => {
  const shape = { vocabSize: byteTokens.vocabSize, hiddenSize: 32, intermediateSize: 48, maxPositions: 96 };
  writeRandomCheckpoint(teacher, { layout: 'full', ...shape, seed: 31 });
  writeRandomCheckpoint(student, { layout: 'onebit', ...shape, seed: 32 });
  for (const model of [teacher, student]) writeByteTokenizer(model);
  writeFileSync(textFile, text);
});
afterAll(() => rmSync(folder, { recursive: true }));

const piqa = `piqa=${join(fixtures, 'piqa.jsonl')}`;

describe('onebit eval ppl', () => {
  it('slides windows, and gives bits a byte', async () => {
    const args = ['eval', 'ppl', '--model', teacher, '--text', textFile, '--window', '24', '--stride', '8'];
    const got = await onebitJson<Record<string, number>>(args);
    const expected = slidingPerplexity(new LlamaReference(teacher), [...Buffer.from(text)], 24, 8);
    expect(got).toMatchObject({ tokens: text.length - 1, window: 24, stride: 8, windows: 7 });
    expect(got.ppl).toBeCloseTo(Math.exp(expected.nll), 2);
    // A token is a byte here.
    expect(got.bitsPerByte).toBeCloseTo(expected.nll / Math.LN2, 4);
  });

  it('refuses a window that the model has no positions for', async () => {
    const args = ['eval', 'ppl', '--model', teacher, '--text', textFile, '--window', '2048'];
    const { code, stderr } = await onebit(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/A window of 2048 tokens does not fit: there are 96 positions/);
  });
});

describe('onebit eval tasks', () => {
  it('prints the harness’s scores for several tasks', async () => {
    const boolq = `boolq=${join(fixtures, 'boolq.jsonl')}`;
    const args = ['eval', 'tasks', '--model', teacher, '--exact', '--task', piqa, '--task', boolq];
    const { tasks } = await onebitJson<{ tasks: Record<string, number | string>[] }>(args);
    const reference = new LlamaReference(teacher);
    const lines = readFileSync(join(fixtures, 'piqa.jsonl'), 'utf8').trim().split('\n');
    const gold = [0, 1, 1];
    const right = lines.filter((line, i) => {
      const { goal, sol1, sol2 } = JSON.parse(line) as Record<'goal' | 'sol1' | 'sol2', string>;
      const [a, b] = [sol1, sol2].map((way) =>
        continuationLikelihood(reference, `Question: ${goal}\nAnswer:`, ` ${way}`, 96),
      );
      return ((a ?? NaN) >= (b ?? NaN) ? 0 : 1) === gold[i];
    }).length;
    const acc = right / 3;
    expect(tasks.map(({ task, questions }) => [task, questions])).toEqual([
      ['piqa', 3],
      ['boolq', 2],
    ]);
    expect(tasks[0]?.acc).toBe(acc);
    expect(tasks[0]?.acc_stderr).toBeCloseTo(Math.sqrt((acc * (1 - acc)) / 2), 12);
    expect(Object.keys(tasks[0] ?? {})).toEqual(
      expect.arrayContaining(['acc_norm', 'acc_norm_stderr', 'acc_bytes', 'acc_bytes_stderr']),
    );
    expect(tasks[1]).not.toHaveProperty('acc_norm');
  });

  it.each([
    [['--task', 'mmlu=x.jsonl'], 2, /expected NAME=FILE with a name of hellaswag, piqa/],
    [['--task', piqa, piqa], 2, /--task piqa is given twice/],
    [[], 2, /Give at least one --task/],
    [['--task', 'boolq=missing.jsonl'], 1, /missing\.jsonl/],
  ])('says what is wrong with %j', async (args, status, message) => {
    const { code, stderr } = await onebit(['eval', 'tasks', '--model', teacher, ...args]);
    expect(code).toBe(status);
    expect(stderr).toMatch(message);
  });
});

describe('onebit compare', () => {
  it('prints the table, and writes it with its JSON', async () => {
    const { code, stdout, stderr } = await onebit([
      ...['compare', '--teacher', teacher, '--students', student, '--text', textFile, '--window', '48'],
      ...['--task', piqa, '--limit', '2', '--output', join(folder, 'table'), '--progress', 'none'],
    ]);
    expect([code, stderr]).toEqual([0, '']);
    expect(readFileSync(join(folder, 'table.md'), 'utf8')).toBe(stdout);
    const rows = stdout.split('\n').filter((line) => line.startsWith('|'));
    expect(rows.map((row) => row.split('|')[1]?.trim())).toEqual([
      ...['model', '---', 'teacher: teacher', 'round-to-nearest, 1-bit', 'SVID only, 1-bit'],
      'student: student',
    ]);
    const { models } = JSON.parse(readFileSync(join(folder, 'table.json'), 'utf8')) as {
      models: { role: string; perplexity: { ppl: number }; tasks: { task: string; questions: number }[] }[];
    };
    expect(models.map(({ role }) => role)).toEqual(['teacher', 'rtn', 'svid', 'student']);
    expect(models.every(({ tasks }) => tasks[0]?.task === 'piqa' && tasks[0].questions === 2)).toBe(true);
    const expected = slidingPerplexity(new LlamaReference(teacher), [...Buffer.from(text)], 48, 48);
    expect(models[0]?.perplexity.ppl).toBeCloseTo(Math.exp(expected.nll), 2);
  });

  it('needs something to compare by', async () => {
    const { code, stderr } = await onebit(['compare', '--teacher', teacher]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Give --text, --task or both')]);
  });
});
