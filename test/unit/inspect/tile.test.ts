import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectTile } from '../../../server/inspect/tile.ts';
import { writeRandomCheckpoint, type RandomCheckpoint } from '../../reference/random-checkpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-tile-'));
afterAll(() => rmSync(folder, { recursive: true }));

// down_proj is 272 × 1096: more than one tile both ways, and edges that nothing divides.
const shape = { hiddenSize: 272, intermediateSize: 1096, heads: 4, kvHeads: 2, layers: 1, vocabSize: 32 };
const write = (layout: 'onebit' | 'bitllama-training' | 'full', seed: number) =>
  writeRandomCheckpoint(join(folder, layout), { layout, seed, ...shape });
const packed = write('onebit', 1);
const training = write('bitllama-training', 2);
const full = write('full', 3);
const name = 'model.layers.0.mlp.down_proj';
const [rows, columns] = [272, 1096];

function signs(model: RandomCheckpoint): Float64Array {
  return model.tensors.get(`${name}.weight`)?.values.map((x) => (x < 0 ? -1 : 1)) ?? new Float64Array();
}

/** The tile by its definition. */
function plainTile(value: (at: number) => number, level: number, x: number, y: number): number[][] {
  const step = 2 ** level;
  const cells: number[][] = [];
  for (let top = 256 * step * y; top < Math.min(rows, 256 * step * (y + 1)); top += step) {
    const line: number[] = [];
    for (let left = 256 * step * x; left < Math.min(columns, 256 * step * (x + 1)); left += step) {
      let [sum, count] = [0, 0];
      for (let i = top; i < Math.min(rows, top + step); i++) {
        for (let j = left; j < Math.min(columns, left + step); j++, count++) sum += value(i * columns + j);
      }
      line.push(Math.round((127 * sum) / count) + 0); // no −0
    }
    cells.push(line);
  }
  return cells;
}

function decode({ width, height, cells }: { width: number; height: number; cells: string }): number[][] {
  const bytes = new Int8Array(Buffer.from(cells, 'base64'));
  expect(bytes.length).toBe(width * height);
  return Array.from({ length: height }, (_, i) => [...bytes.subarray(i * width, (i + 1) * width)]);
}

describe.each([
  ['packed', packed],
  ['training', training],
  ['full', full],
])('a tile of a %s matrix', (_kind, model) => {
  it.each([
    [0, 0, 0],
    [0, 4, 1],
    [1, 2, 0],
    [2, 1, 0],
    [3, 0, 0],
    [4, 0, 0],
    [16, 0, 0],
  ])('level %d, tile %d, %d', async (level, x, y) => {
    const values = signs(model);
    const found = decode(await inspectTile({ model: model.path, name, level, x, y }));
    expect(found).toEqual(plainTile((at) => values[at] as number, level, x, y));
  });
});

it('shows the share of signs that differ from another checkpoint', async () => {
  const [a, b] = [signs(packed), signs(full)];
  const differ = (at: number) => (a[at] === b[at] ? 0 : 1);
  for (const level of [0, 3]) {
    const tile = { model: packed.path, name, level, x: 0, y: 0, against: full.path };
    expect(decode(await inspectTile(tile))).toEqual(plainTile(differ, level, 0, 0));
  }
});

it.each([
  [{ name: 'model.embed_tokens' }, /no matrix model\.embed_tokens/],
  [{ name: 'model.layers.9.mlp.up_proj' }, /no matrix/],
  [{ x: 5 }, /272 × 1096/],
  [{ level: 1, y: 1 }, /272 × 1096/],
])('refuses %o', async (wrong, message) => {
  await expect(inspectTile({ model: full.path, name, level: 0, x: 0, y: 0, ...wrong })).rejects.toMatchObject(
    {
      code: 'bad-request',
      message: expect.stringMatching(message) as string,
    },
  );
});
