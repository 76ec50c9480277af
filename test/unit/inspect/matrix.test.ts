import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import { inspectMatrix } from '../../../server/inspect/matrix.ts';
import { singularValues } from '../../../server/inspect/spectrum.ts';
import { profile, summariseValues } from '../../../server/inspect/value-summary.ts';
import { inspectMatrixResultSchema } from '../../../server/protocol/inspect.ts';
import { singularValues as plainSingularValues } from '../../reference/singular-pair.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-matrix-'));
afterAll(() => rmSync(folder, { recursive: true }));

const shape = { hiddenSize: 64, intermediateSize: 88, heads: 4, kvHeads: 2 };
const teacher = writeRandomCheckpoint(join(folder, 'teacher'), { layout: 'full', dtype: 'BF16', ...shape });
const student = writeRandomCheckpoint(join(folder, 'student'), { layout: 'onebit', seed: 5, ...shape });
const name = 'model.layers.1.mlp.down_proj'; // 64 × 88

it('one matrix: the statistics of all, the balance along its sides, g and h, and the spectrum', async () => {
  const compared = { teacher: teacher.path, other: student.path };
  const result = inspectMatrixResultSchema.parse(
    await inspectMatrix(student.path, name, { ...compared, spectrum: 12 }),
  );
  const { layers } = await inspectLayers(student.path, compared);
  expect(result.statistics).toEqual(layers.find((layer) => layer.name === name));
  const signs = student.tensors.get(`${name}.weight`)?.values ?? new Float64Array();
  for (const [side, size, other] of [
    ['rowPositive', 64, 88],
    ['columnPositive', 88, 64],
  ] as const) {
    const { length, values } = result[side];
    expect([length, values.length]).toEqual([size, size]);
    values.forEach((share, i) => {
      let positive = 0;
      for (let k = 0; k < other; k++) {
        if ((signs[side === 'rowPositive' ? i * 88 + k : k * 88 + i] as number) > 0) positive++;
      }
      expect(share).toBeCloseTo(positive / other, 12);
    });
  }
  const g = student.tensors.get(`${name}.input_factor`)?.values ?? new Float64Array();
  expect(result.g.profile.values).toEqual([...g]);
  expect(result.g.extremes[0]?.value).toBe([...g].sort((a, b) => Math.abs(b) - Math.abs(a))[0]);
  const w = teacher.tensors.get(`${name}.weight`)?.values.map(Math.abs) ?? new Float64Array();
  const norm = Math.sqrt(w.reduce((sum, x) => sum + x * x, 0));
  const expected = plainSingularValues(w, 64, 88);
  expect(result.spectrum).toHaveLength(12);
  result.spectrum?.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] as number) / norm), `σ ${i}`).toBeLessThan(1e-5);
  });
});

it('refuses a matrix that there is not, and a spectrum without a teacher', async () => {
  await expect(inspectMatrix(student.path, 'model.norm')).rejects.toMatchObject({ code: 'bad-request' });
  await expect(inspectMatrix(student.path, name, { spectrum: 2 })).rejects.toMatchObject({
    code: 'bad-request',
    message: expect.stringContaining('teacher') as string,
  });
});

describe('the spectrum', () => {
  it.each([
    ['of a low rank: the rest is zero', 40, 24, 3],
    ['of a matrix of one row', 1, 16, 1],
    ['with equal values', 16, 16, 16],
  ])('%s', async (_name, rows, columns, rank) => {
    const w = new Float32Array(rows * columns);
    for (let k = 0; k < rank; k++) {
      // Blocks that share no row and no column: their norms are the singular values.
      for (let i = k; i < rows; i += rank)
        for (let j = k; j < columns; j += rank) w[i * columns + j] = 1 + (k >> 1);
    }
    const weights = { bytes: new Uint8Array(w.buffer), dtype: 'F32' } as const;
    const total = w.reduce((sum, x) => sum + x * x, 0);
    const start = Float64Array.from({ length: columns }, (_, j) => 1 + ((j * 7) % 5));
    const found = await singularValues(weights, rows, columns, 5, { start, total });
    const expected = plainSingularValues(Float64Array.from(w), rows, columns);
    expect(found).toHaveLength(Math.min(5, rows, columns));
    found.forEach((value, i) => {
      expect(Math.abs(value - (expected[i] as number)), `σ ${i}`).toBeLessThan(2e-4 * Math.sqrt(total));
    });
  });

  it('stops when cancelled', async () => {
    const weights = { bytes: new Uint8Array(256), dtype: 'F32' } as const;
    const start = new Float64Array(8).fill(1);
    await expect(
      singularValues(weights, 8, 8, 2, { start, total: 1 }, { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('values', () => {
  it('along a long side are means of equal runs', () => {
    const values = Float64Array.from({ length: 2500 }, (_, i) => i);
    const { length, values: means } = profile(values);
    expect([length, means.length, means[0], means.at(-1)]).toEqual([2500, 834, 1, 2499]);
  });

  it('are counted in bins that hold them all, with zeros and signs apart', () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) =>
      i === 0 ? 0 : (i % 2 ? 1 : -1) * 1.01 ** i,
    );
    const found = summariseValues(values);
    const sum = (counts: number[]) => counts.reduce((a, b) => a + b, 0);
    expect([sum(found.linear.counts), sum(found.log.counts)]).toEqual([1000, 999]);
    expect([found.negative, found.zero]).toEqual([499, 1]);
    expect(found.linear.edges).toHaveLength(found.linear.counts.length + 1);
    found.log.counts.forEach((count, bin) => {
      const [low, high] = [found.log.edges[bin] as number, found.log.edges[bin + 1] as number];
      const inside = values.filter((x) => Math.abs(x) >= low * 1.000001 && Math.abs(x) < high * 0.999999);
      expect(Math.abs(count - inside.length)).toBeLessThanOrEqual(1);
    });
    expect(found.extremes.map(({ index }) => index)).toEqual(Array.from({ length: 16 }, (_, i) => 999 - i));
  });

  it('that are all equal have one bin, and none at all have none', () => {
    expect(summariseValues(new Float32Array(3).fill(2)).linear.counts).toEqual([3]);
    expect(summariseValues(new Float32Array(3)).log).toEqual({ scale: 'log', edges: [], counts: [] });
  });
});
