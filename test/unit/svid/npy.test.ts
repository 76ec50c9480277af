import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readNpyMatrix } from '../../../server/svid/npy.ts';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'onebit-npy-'))));
afterAll(() => rm(folder, { recursive: true }));

/** A file as numpy.save writes it: magic, version, header padded to 64, data. */
async function npy(header: string, data: Uint8Array, version = 1): Promise<string> {
  const start = version === 1 ? 10 : 12;
  const padded = header.padEnd(Math.ceil((start + header.length + 1) / 64) * 64 - start - 1) + '\n';
  const head = Buffer.alloc(start);
  head.write('\x93NUMPY', 'latin1');
  head[6] = version;
  if (version === 1) head.writeUInt16LE(padded.length, 8);
  else head.writeUInt32LE(padded.length, 8);
  const path = join(folder, `${Math.random()}.npy`);
  await writeFile(path, Buffer.concat([head, Buffer.from(padded, 'latin1'), data]));
  return path;
}
const header = (descr: string, shape: string, fortran = false) =>
  `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${shape}), }`;
const bytes = (values: { buffer: ArrayBufferLike }) => new Uint8Array(values.buffer);

const matrix = [1, -2, 0.5, 3, -4, 0.25];

it('reads f4 and f8, versions 1 and 2, C and Fortran order', async () => {
  const f4 = await npy(header('<f4', '2, 3'), bytes(Float32Array.from(matrix)));
  const f8 = await npy(header('<f8', '2, 3'), bytes(Float64Array.from(matrix)), 2);
  const fortran = await npy(header('<f4', '2, 3', true), bytes(Float32Array.from([1, 3, -2, -4, 0.5, 0.25])));
  for (const path of [f4, f8, fortran]) {
    const read = await readNpyMatrix(path);
    expect([read.rows, read.columns]).toEqual([2, 3]);
    expect([...read.values]).toEqual(matrix);
  }
});

it('reads f2 and big-endian values', async () => {
  // 1, −2, 0.5, 3, −4, 0.25 in binary16.
  const halves = [0x3c00, 0xc000, 0x3800, 0x4200, 0xc400, 0x3400];
  const little = await npy(header('<f2', '2, 3'), bytes(Uint16Array.from(halves)));
  const big = await npy(header('>f2', '2, 3'), new Uint8Array(halves.flatMap((x) => [x >> 8, x & 255])));
  const swapped = Buffer.from(bytes(Float64Array.from(matrix))).swap64();
  const big8 = await npy(header('>f8', '2, 3'), swapped);
  for (const path of [little, big, big8]) expect([...(await readNpyMatrix(path)).values]).toEqual(matrix);
});

it.each([
  ['no .npy file', () => Promise.resolve(import.meta.filename), 'bad-file', /not a NumPy/],
  ['a file that is not there', () => Promise.resolve('/nowhere/w.npy'), 'not-found', /w\.npy/],
  ['integers', () => npy(header('<i4', '2, 3'), new Uint8Array(24)), 'unsupported', /<i4/],
  ['a vector', () => npy(header('<f4', '6,'), new Uint8Array(24)), 'unsupported', /\(6\)/],
  ['an empty matrix', () => npy(header('<f4', '0, 3'), new Uint8Array(0)), 'unsupported', /\(0, 3\)/],
  ['cut short', () => npy(header('<f4', '2, 3'), new Uint8Array(23)), 'bad-file', /cut short/],
  ['a broken header', () => npy('{}', new Uint8Array(24)), 'bad-file', /descr/],
] as const)('refuses %s with an error that names the file', async (_what, make, code, message) => {
  const path = await make();
  await expect(readNpyMatrix(path)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  await expect(readNpyMatrix(path)).rejects.toMatchObject({ message: expect.stringContaining(path) });
});
