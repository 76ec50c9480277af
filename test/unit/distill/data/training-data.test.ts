import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTrainingData, type DataOptions } from '../../../../server/distill/data/training-data.ts';
import { plainWindows, type WindowStream } from '../../../../server/distill/data/windows.ts';
import type { Progress } from '../../../../server/protocol/progress.ts';
import { characterTokenizer as tokenizer } from '../../../reference/character-tokenizer.ts';

let folder: string;
let lines: string;
/** Ten different texts; then the first with a word more, and the second with other white space. */
const different = Array.from({ length: 10 }, (_, i) =>
  Array.from({ length: 60 }, (_, j) => `word${i}x${j} = ${i * j};`).join('\n'),
);
const texts = [...different, `${different[0]} more`, different[1]?.replaceAll('\n', '\r\n') ?? ''];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onebit-training-data-'));
  await mkdir(join(folder, 'src'));
  for (const [i, text] of texts.entries()) {
    await writeFile(join(folder, 'src', `${String.fromCharCode(97 + i)}.ts`), text);
  }
  lines = join(folder, 'lines.jsonl');
  await writeFile(lines, texts.map((text, i) => JSON.stringify({ path: `${i}`, text })).join('\n'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const options = (more: Partial<DataOptions>): DataOptions => ({
  data: [lines],
  heldOut: [],
  heldOutShare: 0.3,
  heldOutWindows: 1000,
  window: 32,
  seed: 1,
  infillRate: 0.5,
  infillSplit: 'mixed',
  ...more,
});
const open = async (more: Partial<DataOptions>) => openTrainingData(options(more), tokenizer, {});
const take = (windows: WindowStream): number[][] => Array.from({ length: 50 }, () => [...windows.next()]);

describe('openTrainingData', () => {
  it('drops near duplicates from folders, and says so', async () => {
    const reports: Progress[] = [];
    const { facts } = await openTrainingData(options({ data: [join(folder, 'src')] }), tokenizer, {
      onProgress: (progress) => reports.push(progress),
    });
    expect(facts.dropped).toEqual({ exact: 1, near: 1, heldOut: 0 });
    expect(facts.documents + facts.heldOutDocuments).toBe(10);
    expect(reports.at(-1)).toEqual({
      phase: 'read data',
      done: 10,
      total: 10,
      unit: 'files',
      message: 'duplicates dropped: 1 exact, 1 near',
    });
  });

  it('keeps every row of a data set for training unless told otherwise', async () => {
    const auto = await open({});
    const off = await open({ deduplication: 'off' });
    expect(take(auto.windows)).toEqual(take(off.windows));
    expect(auto.fingerprint).toBe(off.fingerprint);
    expect(off.facts.dropped).toEqual({ exact: 0, near: 0, heldOut: 0 });
    const near = await open({ deduplication: 'near' });
    expect(near.facts.dropped).toEqual({ exact: 1, near: 1, heldOut: 0 });
    const exact = await open({ deduplication: 'exact' });
    expect(exact.facts.dropped).toMatchObject({ exact: 1, near: 0 });
  });

  it('measures on no text that is trained on', async () => {
    const copies = join(folder, 'held-out.jsonl');
    const unseen = 'nobody has seen this text before, not one of its words '.repeat(3);
    const heldOut = [`${different[4]} and more`, unseen, different[5] ?? ''];
    await writeFile(copies, heldOut.map((text) => JSON.stringify({ text })).join('\n'));
    const data = await open({ heldOut: [copies] });
    expect(data.facts).toMatchObject({ documents: 12, heldOutDocuments: 1, dropped: { heldOut: 2 } });
    expect(data.heldOut).toEqual(plainWindows([{ path: '', text: unseen }], tokenizer, 32, 1000));
    const all = await open({ heldOut: [copies], deduplication: 'off' });
    expect(all.facts.heldOutDocuments).toBe(3);
    await writeFile(copies, JSON.stringify({ text: different[4] }));
    await expect(open({ heldOut: [copies] })).rejects.toMatchObject({
      code: 'bad-value',
      message: expect.stringMatching(
        /Each of the 1 held-out documents is a duplicate.*--dedup off/,
      ) as unknown,
    });
  });

  it('sets the end of a single text aside, however it repeats itself', async () => {
    const path = join(folder, 'one.txt');
    await writeFile(path, 'the same line\n'.repeat(100));
    const { facts } = await open({ data: [path], heldOutShare: 0.1 });
    expect(facts).toMatchObject({ documents: 1, heldOutDocuments: 1, dropped: { heldOut: 0 } });
  });
});
