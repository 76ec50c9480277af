import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCorpus, splitHeldOut } from '../../../../server/distill/data/corpus.ts';
import type { Document } from '../../../../server/distill/data/document.ts';

let folder: string;
const file = async (name: string, content: string | Uint8Array): Promise<string> => {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onebit-corpus-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe('readCorpus', () => {
  it('reads files, folders and lines, passing over what is no source', async () => {
    await file('src/b.ts', 'let b = 1;\n');
    await file('src/a/deep.py', 'a = 1\n');
    await file('src/picture.png', Uint8Array.of(0x89, 0x50, 0, 1));
    await file('src/latin.txt', Uint8Array.of(0x66, 0xfc, 0x72));
    await file('src/app.min.js', 'let x=1');
    await file('src/bundle.js', 'x'.repeat(5000));
    await file('src/.git/config', 'secret');
    await file('src/node_modules/p/index.js', 'let p;\n');
    const lines = await file(
      'more.jsonl.gz',
      gzipSync('{"path":"p.ts","text":"one"}\n\n{"text":"two"}\n{"text":""}\n'),
    );
    const corpus = await readCorpus([join(folder, 'src'), lines, await file('note.txt', 'hello')]);
    expect(corpus.documents).toEqual([
      { path: join(folder, 'src/a/deep.py'), text: 'a = 1\n' },
      { path: join(folder, 'src/b.ts'), text: 'let b = 1;\n' },
      { path: 'p.ts', text: 'one' },
      { path: `${lines}:3`, text: 'two' },
      { path: join(folder, 'note.txt'), text: 'hello' },
    ]);
    expect(corpus.skipped).toBe(4);
    expect(corpus.characters).toBe(6 + 11 + 3 + 3 + 5);
    // A folder that is named itself is read, whatever its name.
    const named = await readCorpus([join(folder, 'src/node_modules')]);
    expect(named.documents).toHaveLength(1);
  });

  it('passes over models, runs and other .jsonl in a folder, but reads those that are named', async () => {
    await file('space/app.ts', 'app();\n');
    await file('space/model/config.json', '{}\n');
    await file('space/model/model.safetensors', '');
    await file('space/model.run/run.json', '{}\n');
    await file('space/model.run/checkpoints/step-1/note.txt', 'no');
    await file('space/model.run/metrics.jsonl', '{"step":1}\n');
    await file('space/events.jsonl', '{"text":"half"}\n{"event":1}\n');
    await file('space/texts.jsonl', '{"text":"whole"}\n');
    const corpus = await readCorpus([join(folder, 'space')]);
    expect(corpus.documents.map(({ text }) => text)).toEqual(['app();\n', 'whole']);
    expect(corpus.skipped).toBe(1);
    const run = await readCorpus([join(folder, 'space/model.run')]);
    expect(run.documents.map(({ text }) => text)).toContain('no');
  });

  it.each([
    ['not JSON', '{"text":"a"}\n{"text":\n', /line 2 is not JSON: .*Mend the line/, 'bad-file'],
    [
      'a number',
      '{"text":"a"}\n{"text":5}\n',
      /line 2 has .*"text"; what stands there is no text\. Mend/,
      'bad-file',
    ],
    ['no text', '{"text":"a"}\n\n{"path":"b"}\n', /line 3 has no string field "text"/, 'bad-file'],
    ['no object', 'null\n', /line 1 has no string field "text"; it has none/, 'bad-file'],
    [
      'another field',
      '{"body":"b","id":1}\n',
      /line 1 has no string field "text"; it has "body"\./,
      'bad-file',
    ],
    ['another field later', '{"code":"a"}\n{"text":"b"}\n', /line 2 has no string field "code"/, 'bad-file'],
    ['two fields', '{"code":"a","content":"b"}\n', /line 1 has both "code" and "content"/, 'bad-value'],
    [
      'not UTF-8',
      Buffer.from('{"text":"a"}\n{"text":"\xfc"}\n', 'latin1'),
      /line 2 is not UTF-8/,
      'bad-file',
    ],
    ['nothing', '\n\n', /holds no text/, 'bad-value'],
  ])('names the file and line of bad lines: %s', async (name, content, message, code) => {
    const path = await file(`${name}.jsonl`, content);
    const error = await readCorpus([path]).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as unknown });
    expect((error as Error).message).toContain(path);
  });

  it('refuses what is no text, what is not there, what is empty and what is cut short', async () => {
    const whole = gzipSync(`{"text":"${'abc '.repeat(5000)}${Math.PI}"}\n`);
    const cases: [string, string, RegExp][] = [
      [await file('a.bin', Uint8Array.of(1, 0, 2)), 'bad-file', /is not text/],
      [join(folder, 'absent'), 'not-found', /absent/],
      [join(await file('empty/.keep', ''), '..'), 'bad-value', /holds no text to train on: it is empty/],
      [
        join(await file('pictures/a.png', Uint8Array.of(1, 0, 2)), '..'),
        'bad-value',
        /holds no text to train on: its 1 file was passed over, as .*a\.png is not text/,
      ],
      [await file('cut.jsonl.gz', whole.subarray(0, whole.length - 12)), 'bad-file', /cannot be unpacked/],
    ];
    for (const [path, code, message] of cases) {
      await expect(readCorpus([path])).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message) as unknown,
      });
    }
  });

  it('reads lines of every form, in the field that is asked for', async () => {
    const long = 'ü'.repeat(100_000);
    const rows = [
      { code: 'first', text: 'no' },
      { code: 'a\u2028b\u0085c' },
      { code: `${long}1` },
      { code: `${long}2` },
    ];
    const path = await file(
      'forms.jsonl',
      `\ufeff${rows.map((row) => JSON.stringify(row)).join('\r\n')}`, // No end of line after the last.
    );
    const { documents } = await readCorpus([path], { textColumn: 'code' });
    expect(documents).toEqual(rows.map(({ code: text }, i) => ({ path: `${path}:${i + 1}`, text })));
  });

  it('takes a very long text in pieces that end at line ends', async () => {
    const text = 'füße und größe, 漢字\n'.repeat((65 << 20) / 27 + 1);
    const path = await file('long.txt', text);
    const { documents } = await readCorpus([path]);
    expect(documents.length).toBeGreaterThan(4);
    expect(documents.every((document) => document.path === path && document.text.endsWith('\n'))).toBe(true);
    expect(documents.map((document) => document.text).join('') === text).toBe(true);
    const { train, heldOut } = splitHeldOut(documents, 0.1, 1);
    expect([...train, ...heldOut].map((document) => document.text).join('') === text).toBe(true);
    const held = heldOut.reduce((sum, document) => sum + document.text.length, 0);
    expect(held / text.length).toBeCloseTo(0.1, 4);
  });

  it('stops when told to', async () => {
    const controller = new AbortController();
    controller.abort();
    await expect(readCorpus([join(folder, 'src')], { signal: controller.signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});

describe('splitHeldOut', () => {
  const documents: Document[] = Array.from({ length: 400 }, (_, i) => ({
    path: `f${i % 390}`,
    text: `text ${i}`,
  }));

  it('sets whole files aside, the same ones for the same seed', () => {
    const { train, heldOut } = splitHeldOut(documents, 0.1, 1);
    expect(train.length + heldOut.length).toBe(400);
    expect(heldOut.length).toBeGreaterThan(20);
    expect(heldOut.length).toBeLessThan(60);
    const held = new Set(heldOut.map(({ path }) => path));
    expect(train.some(({ path }) => held.has(path))).toBe(false);
    expect(splitHeldOut(documents, 0.1, 1)).toEqual({ train, heldOut });
    expect(splitHeldOut(documents, 0.1, 2).heldOut).not.toEqual(heldOut);
    // What else is in the corpus changes nothing.
    const fewer = splitHeldOut(documents.slice(0, 200), 0.1, 1).heldOut;
    expect(fewer).toEqual(heldOut.filter((document) => fewer.includes(document)));
  });

  it('keeps a file on each side of two, and cuts a single file at a line end', () => {
    const two = splitHeldOut(documents.slice(0, 2), 0.01, 1);
    expect([two.train.length, two.heldOut.length]).toEqual([1, 1]);
    const text = Array.from({ length: 100 }, (_, i) => `line ${i}\n`).join('');
    const { train, heldOut } = splitHeldOut([{ path: 'a', text }], 0.1, 1);
    expect((train[0]?.text ?? '') + (heldOut[0]?.text ?? '')).toBe(text);
    expect(train[0]?.text.endsWith('\n')).toBe(true);
    expect((heldOut[0]?.text.length ?? 0) / text.length).toBeCloseTo(0.1, 1);
  });
});
