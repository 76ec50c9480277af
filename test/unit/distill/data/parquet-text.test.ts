import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetMetadata } from 'hyparquet';
import { parquetWriteBuffer, type ColumnSource } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCorpus } from '../../../../server/distill/data/corpus.ts';
import type { Document } from '../../../../server/distill/data/document.ts';
import { readParquet } from '../../../../server/distill/data/parquet-text.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onebit-parquet-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const texts = Array.from({ length: 25 }, (_, i) => `row ${i}: größer 漢字 ${'x'.repeat(i * 40)}`);

async function write(
  name: string,
  columnData: ColumnSource[],
  options: { codec?: 'UNCOMPRESSED' | 'SNAPPY'; rowGroupSize?: number } = {},
): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData, ...options })));
  return path;
}
async function read(path: string, textColumn?: string): Promise<Document[]> {
  const documents: Document[] = [];
  await readParquet(path, { textColumn }, (document) => documents.push(document));
  return documents;
}
const failure = (path: string, textColumn?: string): Promise<unknown> =>
  read(path, textColumn).then(
    () => 'read',
    (error: unknown) => error,
  );

describe('readParquet', () => {
  it.each(['UNCOMPRESSED', 'SNAPPY'] as const)('reads every row group of a %s file', async (codec) => {
    const path = await write(
      `${codec}.parquet`,
      [
        { name: 'id', data: texts.map((_, i) => i), type: 'INT32' },
        { name: 'text', data: texts, type: 'STRING' },
      ],
      { codec, rowGroupSize: 10 },
    );
    expect(await read(path)).toEqual(texts.map((text, i) => ({ path: `${path}:${i + 1}`, text })));
  });

  it('takes names from a column "path" and passes over null and empty rows', async () => {
    const path = await write('named.parquet', [
      { name: 'path', data: ['a.ts', 'b.ts', 'c.ts', 'd.ts'], type: 'STRING' },
      { name: 'text', data: ['one', null, '', 'four'], type: 'STRING', nullable: true },
    ]);
    expect(await read(path)).toEqual([
      { path: 'a.ts', text: 'one' },
      { path: 'd.ts', text: 'four' },
    ]);
  });

  it('finds the column of the text, or asks for it', async () => {
    const strings = (...names: string[]): ColumnSource[] =>
      names.map((name) => ({ name, data: [`in ${name}`], type: 'STRING' }));
    const found = async (names: string[], wanted?: string): Promise<string | undefined> =>
      (await read(await write('found.parquet', strings(...names)), wanted))[0]?.text;
    expect(await found(['code', 'content', 'text'])).toBe('in text');
    expect(await found(['id', 'content'])).toBe('in content');
    expect(await found(['id', 'code'])).toBe('in code');
    expect(await found(['text', 'body'], 'body')).toBe('in body');
    const both = await write('both.parquet', strings('code', 'content'));
    expect(await failure(both)).toMatchObject({
      code: 'bad-value',
      message: expect.stringMatching(/both\.parquet has both "code" and "content".*--text-column/) as unknown,
    });
    const none = await write('none.parquet', [
      ...strings('body'),
      { name: 'n', data: [1], type: 'INT32' },
      { name: 'list', data: [['a']], type: 'JSON' },
    ]);
    for (const [wanted, named] of [
      [undefined, 'text'],
      ['n', 'n'],
      ['absent', 'absent'],
    ] as const) {
      const error = (await failure(none, wanted)) as Error;
      expect(error).toMatchObject({ code: 'bad-file' });
      expect(error.message).toContain(`${none} has no text column "${named}"; it has "body", "n" (int32)`);
    }
  });

  it('reads a data set beside source code in a folder', async () => {
    await mkdir(join(folder, 'set'));
    const path = await write('set/part-0.parquet', [{ name: 'text', data: ['a', 'b'], type: 'STRING' }]);
    await write('set/part-1.parquet', [{ name: 'body', data: ['c'], type: 'STRING' }]);
    const corpus = await readCorpus([join(folder, 'set')]);
    expect(corpus.documents.map(({ text }) => text)).toEqual(['a', 'b']);
    expect(corpus.documents[0]?.path).toBe(`${path}:1`);
    expect(corpus.skipped).toBe(1);
    expect(corpus.firstSkipped).toMatch(/part-1\.parquet has no text column "text"; it has "body"/);
    const named = await readCorpus([join(folder, 'set/part-1.parquet')], { textColumn: 'body' });
    expect(named.characters).toBe(1);
  });

  describe('of a damaged file', () => {
    let whole: Uint8Array;
    beforeAll(async () => {
      const path = await write('whole.parquet', [{ name: 'text', data: texts, type: 'STRING' }], {
        rowGroupSize: 10,
      });
      whole = new Uint8Array(await readFile(path));
    });
    const changed = async (
      name: string,
      change: (bytes: Uint8Array, view: DataView) => Uint8Array | void,
    ) => {
      const bytes = whole.slice();
      const path = join(folder, name);
      await writeFile(path, change(bytes, new DataView(bytes.buffer)) ?? bytes);
      return path;
    };
    const footer = () => parquetMetadata(whole.slice().buffer);

    it('names what is wrong with a file that was cut short or is something else', async () => {
      const cases: [string, RegExp][] = [
        [await changed('empty.parquet', () => new Uint8Array(0)), /0 bytes are too few/],
        [await changed('cut.parquet', (bytes) => bytes.subarray(0, bytes.length - 100)), /cut short/],
        [await changed('other.parquet', (bytes) => void bytes.fill(65, 0, 4)), /does not begin with PAR1/],
      ];
      for (const [path, message] of cases) {
        const error = (await failure(path)) as Error;
        expect(error).toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) as unknown });
        expect(error.message).toContain(path);
      }
      const secret = await changed('secret.parquet', (bytes) => void bytes.fill(69, bytes.length - 1));
      expect(await failure(secret)).toMatchObject({ code: 'unsupported' });
    });

    it.each([0, 1, 0x7fffffff, 0xffffffff, 200_000_000])('refuses a footer length of %i', async (length) => {
      const path = await changed('length.parquet', (bytes, view) =>
        view.setUint32(bytes.length - 8, length, true),
      );
      expect(await failure(path)).toMatchObject({ code: 'bad-file' });
    });

    it('never crashes, whatever a byte of the footer says', async () => {
      const length = footer().metadata_length;
      for (let i = 0; i < length; i += 3) {
        for (const value of [0x00, 0x7f, 0xff]) {
          const path = await changed('byte.parquet', (bytes) => {
            bytes[bytes.length - 8 - length + i] = value;
          });
          const result = await failure(path);
          if (result !== 'read') {
            expect(['bad-file', 'bad-value', 'unsupported']).toContain((result as { code: string }).code);
          }
        }
      }
    });

    it('names row group and column where the data are damaged', async () => {
      const offset = Number(footer().row_groups[1]?.columns[0]?.meta_data?.data_page_offset);
      const path = await changed('pages.parquet', (bytes) => void bytes.fill(0xff, offset, offset + 12));
      const error = (await failure(path)) as Error;
      expect(error).toMatchObject({ code: 'bad-file' });
      expect(error.message).toMatch(/pages\.parquet: row group 2, column "text": .*download it again/s);
    });
  });

  it('stops between row groups when told to', async () => {
    const path = await write('long.parquet', [{ name: 'text', data: texts, type: 'STRING' }], {
      rowGroupSize: 5,
    });
    const controller = new AbortController();
    let rows = 0;
    const reading = readParquet(path, { signal: controller.signal }, () => {
      if (++rows === 7) controller.abort();
    });
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
    expect(rows).toBe(10);
  });
});
