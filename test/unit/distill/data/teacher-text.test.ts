import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCorpus } from '../../../../server/distill/data/corpus.ts';
import { writeTeacherText, type TeacherTextOptions } from '../../../../server/distill/data/teacher-text.ts';
import type { Progress } from '../../../../server/protocol/progress.ts';
import { byteTokens, writeByteTokenizer } from '../../../reference/byte-tokenizer.ts';
import { LlamaReference } from '../../../reference/llama-forward.ts';
import { writeRandomCheckpoint } from '../../../reference/random-checkpoint.ts';

let folder: string;
let model: string;
let other: string;
/** A teacher whose tokens are characters, each one of its own. */
let ascii: string;
let count = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-teacher-text-'));
  const write = (name: string, seed: number, vocabSize: number = byteTokens.vocabSize): string => {
    const path = join(folder, name);
    const shape = { hiddenSize: 32, intermediateSize: 48, layers: 1, heads: 2, maxPositions: 64 };
    writeRandomCheckpoint(path, {
      ...shape,
      ...{ layout: 'full', seed, vocabSize, bosTokenId: null, eosTokenId: null },
    });
    writeByteTokenizer(path, { end: true });
    return path;
  };
  model = write('teacher', 5);
  other = write('other', 6);
  ascii = write('ascii', 7, 128);
});
afterAll(() => rmSync(folder, { recursive: true }));

const options = (more: Partial<TeacherTextOptions> = {}): TeacherTextOptions => ({
  model,
  output: join(folder, `${++count}.jsonl`),
  samples: 24,
  tokens: 20,
  minTokens: 0,
  temperature: 1,
  seed: 3,
  batch: 4,
  engine: { threads: 1 },
  ...more,
});
interface Line {
  path: string;
  text: string;
  tokens: number;
}
const write = async (more: Partial<TeacherTextOptions> = {}): Promise<string> => {
  const { output } = await writeTeacherText(options(more), {});
  const bytes = await readFile(output);
  return (output.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
};
const lines = (text: string): Line[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe('writeTeacherText', () => {
  it('begins with a random token, goes on by top-1 for 3 to 5, and then samples', async () => {
    const samples = lines(await write({ model: ascii, samples: 300, tokens: 12, batch: 16 }));
    expect(samples).toHaveLength(300);
    expect(new Set(samples.map(({ text }) => text[0])).size).toBeGreaterThan(100);

    const reference = new LlamaReference(ascii);
    const runs = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (const { text, tokens } of samples) {
      expect([text.length, tokens]).toEqual([12, 12]);
      const ids = [...Buffer.from(text)];
      const logits = reference.logits(ids);
      const isTop = (i: number): boolean => {
        const row = [...(logits[i - 1] ?? [])];
        return row.indexOf(Math.max(...row)) === ids[i];
      };
      let run = 0;
      while (run + 1 < ids.length && isTop(run + 1)) run++;
      runs[run] = (runs[run] ?? 0) + 1;
    }
    // Greedy for 3, 4 or 5 tokens, a third each; a sampled token is the likeliest one only now and then.
    expect(runs.slice(0, 3)).toEqual([0, 0, 0]);
    for (const run of runs.slice(3, 6)) expect(run).toBeGreaterThan(60);
  });

  it('begins with no special token and no part of a character', async () => {
    const samples = lines(await write({ samples: 300, tokens: 2, batch: 16 }));
    for (const { text } of samples) expect(text.charCodeAt(0)).toBeLessThan(128);
  });

  it('writes the same file whatever runs side by side, and another one for another seed', async () => {
    const alone = await write({ batch: 1 });
    expect(await write({ batch: 7 })).toBe(alone);
    expect(await write({ batch: 24, engine: { threads: 2 } })).toBe(alone);
    expect(await write({ seed: 4 })).not.toBe(alone);
    // Sample i does not depend on how many there are.
    expect(alone.startsWith(await write({ samples: 9 }))).toBe(true);
  });

  it('is data to train on, and ends a text at an end token', async () => {
    const output = join(folder, 'data.jsonl.gz');
    const reports: Progress[] = [];
    const result = await writeTeacherText(options({ output }), { onProgress: (p) => reports.push(p) });
    const { documents } = await readCorpus([output]);
    const samples = lines(gunzipSync(await readFile(output)).toString());
    expect(documents).toEqual(samples.map(({ path, text }) => ({ path, text })));
    expect(documents[2]?.path).toBe('seed-3/sample-3');
    const tokens = samples.map((sample) => sample.tokens);
    expect(result.tokens).toBe(tokens.reduce((a, b) => a + b));
    expect(Math.max(...tokens)).toBe(20);
    expect(Math.min(...tokens)).toBeLessThan(20);
    // The first token and the greedy ones.
    expect(Math.min(...tokens)).toBeGreaterThanOrEqual(4);
    const long = lines(await write({ minTokens: 15 })).map((sample) => sample.tokens);
    expect(Math.min(...long)).toBeGreaterThanOrEqual(16);
    expect(reports.at(-1)).toMatchObject({ phase: 'generate data', done: 24, total: 24, unit: 'samples' });
  });

  it('goes on after an interruption, wherever it came, with the same file', async () => {
    const whole = await write();
    const output = join(folder, 'interrupted.jsonl');
    const controller = new AbortController();
    const interrupted = writeTeacherText(options({ output }), {
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (phase === 'generate data' && done >= 6) controller.abort();
      },
    });
    await expect(interrupted).rejects.toMatchObject({ code: 'cancelled' });
    await expect(stat(output)).rejects.toMatchObject({ code: 'ENOENT' });
    const partial = `${output}.partial`;
    const left = await readFile(partial, 'utf8');
    expect(whole.startsWith(left.slice(left.indexOf('\n') + 1))).toBe(true);
    // As a kill in the middle of a line leaves it, and as a power cut does.
    for (const damaged of [left, left.slice(0, -30), `${left}\0\0\0\0\n`, left.slice(0, 20), '']) {
      rmSync(output, { force: true });
      await writeFile(partial, damaged);
      await writeTeacherText(options({ output }), {});
      expect(await readFile(output, 'utf8')).toBe(whole);
      await expect(stat(partial)).rejects.toMatchObject({ code: 'ENOENT' });
    }
  });

  it('refuses what does not fit, and changes nothing', async () => {
    const output = join(folder, 'refused.jsonl');
    const begun = (await readFile(await beginOnly(output))).toString();
    const cases: [Partial<TeacherTextOptions>, RegExp][] = [
      [{ output, seed: 4 }, /begun with seed = 3, now it is 4: .*--restart/],
      [{ output, tokens: 19 }, /begun with tokens = 20/],
      [{ output, model: other }, /begun with another model, tokenizer or machine/],
      [{ tokens: 65 }, /longer than the 64 positions/],
      [{ output: join(folder, 'text.txt') }, /ends in \.jsonl/],
      [{ output: join(folder, 'data.jsonl.gz') }, /data\.jsonl\.gz exists already/],
    ];
    for (const [more, message] of cases) {
      await expect(writeTeacherText(options(more), {})).rejects.toMatchObject({
        code: 'bad-request',
        message: expect.stringMatching(message) as unknown,
      });
    }
    expect((await readFile(`${output}.partial`)).toString()).toBe(begun);
  });

  /** A partial file of some samples; returns its path. */
  async function beginOnly(output: string): Promise<string> {
    const controller = new AbortController();
    await writeTeacherText(options({ output }), {
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (phase === 'generate data' && done >= 4) controller.abort();
      },
    }).catch(() => undefined);
    return `${output}.partial`;
  }
});
