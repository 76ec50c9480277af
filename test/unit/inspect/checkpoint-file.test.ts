import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readFileListing } from '../../../server/inspect/checkpoint-file/file-listing.ts';
import { ListedFiles } from '../../../server/inspect/checkpoint-file/listed-files.ts';
import { orderTensors } from '../../../server/inspect/checkpoint-file/order-tensors.ts';
import { tensorStatistics } from '../../../server/inspect/checkpoint-file/tensor-statistics.ts';
import { readPlainTensors } from '../../reference/plain-safetensors.ts';
import { normal } from '../../reference/random.ts';
import { writeGguf } from '../../reference/write-gguf.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-file-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Entry {
  dtype: string;
  shape: number[];
  data: Buffer;
}

/** Written by hand, header first. */
function writeFile(name: string, tensors: Record<string, Entry>, metadata?: Record<string, string>): string {
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([tensor, { dtype, shape, data }]) => {
      end += data.length;
      return [tensor, { dtype, shape, data_offsets: [end - data.length, end] }];
    }),
  );
  const json = Buffer.from(JSON.stringify(metadata ? { __metadata__: metadata, ...header } : header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([length, json, ...Object.values(tensors).map(({ data }) => data)]));
  return path;
}

const zeros = (dtype: string, shape: number[], size: number): Entry => ({
  dtype,
  shape,
  data: Buffer.alloc(size * shape.reduce((a, b) => a * b, 1)),
});
const floats = (values: readonly number[]): Entry => ({
  dtype: 'F32',
  shape: [values.length],
  data: Buffer.from(Float32Array.from(values).buffer),
});

describe('the header of a file', () => {
  it('of safetensors: tensors, types, metadata, also with types that no model here may have', async () => {
    const path = writeFile(
      'model.safetensors',
      {
        'model.layers.0.self_attn.q_proj.weight': zeros('F16', [8, 4], 2),
        'scales.weird': zeros('F8_E4M3', [3], 1),
        scalar: zeros('F32', [], 4),
      },
      { format: 'pt', note: 'x'.repeat(5000) },
    );
    const { summary, tensors } = await readFileListing(path);
    expect(summary).toMatchObject({
      format: 'safetensors',
      tensors: 3,
      elements: 32 + 3 + 1,
      kind: 'full',
      metadataCount: 2,
      types: [
        { type: 'F16', tensors: 1, bytes: 64 },
        { type: 'F32', tensors: 1, bytes: 4 },
        { type: 'F8_E4M3', tensors: 1, bytes: 3 },
      ],
    });
    expect(summary.metadata.map(({ key, value }) => [key, value.length])).toEqual([
      ['format', 2],
      ['note', 2000],
    ]);
    expect(tensors.map(({ name, shape, bytes }) => [name, shape, bytes])).toEqual([
      ['model.layers.0.self_attn.q_proj.weight', [8, 4], 64],
      ['scales.weird', [3], 3],
      ['scalar', [], 4],
    ]);
  });

  it('of GGUF: long lists are cut, shapes have the outermost dimension first', async () => {
    const path = join(folder, 'model.gguf');
    writeGguf(
      path,
      [
        ['general.name', 'text', 'tiny'],
        ['tokenizer.ggml.tokens', 'texts', Array.from({ length: 300 }, (_, i) => `t${i}`)],
      ],
      [{ name: 'blk.0.attn_q.weight', dimensions: [32, 2], type: 8, bytes: Buffer.alloc(68) }],
    );
    const { summary, tensors } = await readFileListing(path);
    expect(summary).toMatchObject({ format: 'gguf', tensors: 1, elements: 64, kind: 'full' });
    expect(summary.metadata).toEqual([
      { key: 'GGUF version', value: '3' },
      { key: 'general.name', value: 'tiny' },
      {
        key: 'tokenizer.ggml.tokens',
        value: `300 values: ${Array.from({ length: 16 }, (_, i) => `t${i}`).join(', ')}, …`,
      },
    ]);
    expect(tensors).toMatchObject([{ name: 'blk.0.attn_q.weight', type: 'Q8_0', shape: [2, 32], bytes: 68 }]);
  });

  it('that is damaged, or of another kind of file, is refused by name', async () => {
    const path = join(folder, 'cut.safetensors');
    writeFileSync(path, Buffer.from([255, 255, 255, 255, 255, 255, 255, 127, 1]));
    await expect(readFileListing(path)).rejects.toMatchObject({ code: 'bad-file' });
    const other = join(folder, 'secret.txt');
    writeFileSync(other, 'secret');
    await expect(readFileListing(other)).rejects.toMatchObject({ code: 'unsupported' });
    await expect(readFileListing(join(folder, 'none.gguf'))).rejects.toMatchObject({ code: 'not-found' });
  });

  it('of a hundred thousand tensors lets others in between', async () => {
    const count = 100_000;
    const entries = Array.from(
      { length: count },
      (_, i) => `"t.${i}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`,
    );
    const json = Buffer.from(`{${entries.join(',')}}`);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const path = join(folder, 'many.safetensors');
    writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(count)]));
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const files = new ListedFiles();
    expect((await files.open(path)).summary.tensors).toBe(count);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(2);
    const query = { path, search: '99 u8', sort: 'name', descending: true, from: 1, count: 2 } as const;
    const { total, rows } = await files.tensors(query);
    // Numbers below 100,000 with 99 in them, counted digit by digit.
    let expected = 0;
    for (let i = 0; i < count; i++) if (String(i).includes('99')) expected++;
    expect(total).toBe(expected);
    expect(rows.map(({ name }) => name)).toEqual(['t.99998', 't.99997']);
  });

  it('is read again when the file has changed', async () => {
    const files = new ListedFiles();
    const path = writeFile('changing.safetensors', { a: zeros('F32', [1], 4) });
    expect((await files.open(path)).summary.tensors).toBe(1);
    writeFile('changing.safetensors', { a: zeros('F32', [1], 4), b: zeros('F32', [1], 4) });
    utimesSync(path, new Date(0), new Date(0));
    expect((await files.open(path)).summary.tensors).toBe(2);
  });
});

it('tensors are searched by words and sorted by every column', () => {
  const tensors = [
    ['layers.10.up', 'F16', [2, 3], 12],
    ['layers.2.up', 'F16', [4, 3], 24],
    ['layers.2.norm', 'F32', [3], 12],
  ].map(([name, type, shape, bytes], offset) => ({ name, type, shape, bytes, offset })) as never;
  const names = (
    search: string,
    sort: 'position' | 'name' | 'shape' | 'type' | 'bytes',
    descending = false,
  ) => orderTensors(tensors, { search, sort, descending }).map(({ name }) => name.slice(7));
  expect(names('', 'position', true)).toEqual(['2.norm', '2.up', '10.up']);
  expect(names('', 'name')).toEqual(['2.norm', '2.up', '10.up']);
  expect(names('', 'shape')).toEqual(['2.norm', '10.up', '2.up']);
  expect(names('', 'type', true)).toEqual(['2.norm', '10.up', '2.up']);
  expect(names('', 'bytes', true)).toEqual(['2.up', '10.up', '2.norm']);
  expect(names('UP f16', 'position')).toEqual(['10.up', '2.up']);
  expect(names('4x3', 'position')).toEqual(['2.up']);
});

describe('the values of a tensor', () => {
  const next = normal(7);
  // Over the size that is read at once, with a mean far from zero.
  const many = Array.from({ length: 300_001 }, () => 1000 + 0.01 * next());
  mkdirSync(join(folder, 'plain'));
  const plain = writeFile('plain/values.safetensors', {
    many: floats(many),
    half: {
      dtype: 'F16',
      shape: [5000],
      data: Buffer.from(Uint16Array.from({ length: 5000 }, (_, i) => (i * 7919) % 0x7c00).buffer),
    },
  });
  const path = writeFile('values.safetensors', {
    special: floats([NaN, Infinity, -Infinity, 0, -0, 1, -2, 0.75, 2 ** -149]),
    signs: { dtype: 'U8', shape: [3], data: Buffer.from([0b1011, 255, 0]) },
    long: { dtype: 'I64', shape: [2], data: Buffer.from(BigInt64Array.from([-5n, 3n]).buffer) },
    eight: zeros('F8_E5M2', [2], 1),
    empty: zeros('F32', [0], 4),
  });
  const statistics = async (name: string, file = path) => {
    const tensor = (await readFileListing(file)).byName.get(name);
    if (tensor === undefined) throw new Error(`no ${name}`);
    return tensorStatistics(file, tensor);
  };

  it.each(['many', 'half'])('%s: as the plain sums in float64', async (name) => {
    const values = [...(readPlainTensors(join(folder, 'plain')).get(name)?.values ?? [])];
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const square = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    const found = await statistics(name, plain);
    expect(found.count).toBe(values.length);
    expect(found.mean).toBeCloseTo(mean, 9);
    expect(found.std / Math.sqrt(square)).toBeCloseTo(1, 9);
    expect(found.rms / Math.sqrt(values.reduce((a, b) => a + b * b, 0) / values.length)).toBeCloseTo(1, 9);
    expect(found.min).toBe(values.reduce((a, b) => Math.min(a, b)));
    expect(found.max).toBe(values.reduce((a, b) => Math.max(a, b)));
    const inBins = found.magnitudes.reduce((sum, bin) => sum + bin.negative + bin.positive, 0);
    expect(inBins + found.zeros).toBe(values.length);
    for (const { power, positive } of found.magnitudes) {
      expect(positive).toBe(values.filter((value) => value >= 2 ** power && value < 2 ** (power + 1)).length);
    }
  });

  it('that are no numbers are counted and left out', async () => {
    const found = await statistics('special');
    expect(found).toMatchObject({ count: 9, finite: 6, nan: 1, infinite: 2, zeros: 2, negative: 1 });
    expect(found).toMatchObject({ min: -2, max: 1 });
    expect(found.magnitudes.filter((bin) => bin.negative + bin.positive > 0)).toEqual([
      { power: -149, negative: 0, positive: 1 },
      { power: -1, negative: 0, positive: 1 },
      { power: 0, negative: 0, positive: 1 },
      { power: 1, negative: 1, positive: 0 },
    ]);
  });

  it('of bytes say the share of bits; integers of 64 bits and empty tensors are read', async () => {
    expect((await statistics('signs')).bitShare).toBeCloseTo(11 / 24, 12);
    expect(await statistics('long')).toMatchObject({ min: -5, max: 3, mean: -1, std: 4 });
    expect(await statistics('empty')).toMatchObject({ count: 0, finite: 0, mean: 0, magnitudes: [] });
  });

  it('of a type that is not read: says which', async () => {
    await expect(statistics('eight')).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('eight has the type F8_E5M2') as string,
    });
  });

  it('of GGUF blocks are those that the blocks stand for', async () => {
    // Q8_0: scale 0.5 (0x3800), then -16 … 15.
    const block = Buffer.alloc(34);
    block.writeUInt16LE(0x3800);
    for (let i = 0; i < 32; i++) block.writeInt8(i - 16, 2 + i);
    const file = join(folder, 'q8.gguf');
    writeGguf(file, [], [{ name: 'w', dimensions: [32], type: 8, bytes: block }]);
    expect(await statistics('w', file)).toMatchObject({
      count: 32,
      min: -8,
      max: 7.5,
      mean: -0.25,
      negative: 16,
    });
  });

  it('are given up when nobody waits any more', async () => {
    const tensor = (await readFileListing(plain)).byName.get('many');
    if (tensor === undefined) throw new Error('no tensor');
    const signal = AbortSignal.abort();
    await expect(tensorStatistics(plain, tensor, { signal })).rejects.toMatchObject({ code: 'cancelled' });
  });
});
