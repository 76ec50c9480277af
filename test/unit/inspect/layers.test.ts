import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { LayersCache } from '../../../server/inspect/layers-cache.ts';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import { layerStatisticsSchema } from '../../../server/protocol/inspect.ts';
import type { Progress } from '../../../server/protocol/progress.ts';
import {
  plainBalance,
  plainDistribution,
  plainOutliers,
  plainTeacher,
} from '../../reference/matrix-statistics.ts';
import { writeRandomCheckpoint, type RandomCheckpoint } from '../../reference/random-checkpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-inspect-'));
afterAll(() => rmSync(folder, { recursive: true }));

const shape = { hiddenSize: 64, intermediateSize: 88, heads: 4, kvHeads: 2 };
const teacher = writeRandomCheckpoint(join(folder, 'teacher'), {
  layout: 'full',
  dtype: 'F16',
  seed: 9,
  ...shape,
});
const write = (name: string, layout: 'onebit' | 'bitllama-training' | 'bitllama-inference', seed: number) =>
  writeRandomCheckpoint(join(folder, name), { layout, seed, ...shape });
const students = {
  onebit: write('onebit', 'onebit', 1),
  training: write('training', 'bitllama-training', 2),
  inference: write('inference', 'bitllama-inference', 3),
};
const other = write('other', 'onebit', 4);

function values(model: RandomCheckpoint, name: string): Float64Array {
  const found = model.tensors.get(name);
  if (found === undefined) throw new Error(name);
  return found.values;
}

function plain(model: RandomCheckpoint, name: string, rows: number, columns: number) {
  const [signs, g, h] = ['weight', 'input_factor', 'weight_scale'].map((part) =>
    values(model, `${name}.${part}`),
  ) as [Float64Array, Float64Array, Float64Array];
  return { rows, columns, signs, g, h };
}

/** Every number of `expected` to 1e-5. */
function expectClose(found: Record<string, number> | undefined, expected: Record<string, number>): void {
  expect(Object.keys(found ?? {}).sort()).toEqual(Object.keys(expected).sort());
  for (const [key, value] of Object.entries(expected)) {
    expect(Math.abs((found?.[key] ?? NaN) - value), `${key} ${value}`).toBeLessThan(1e-5);
  }
}

function change(a: Float64Array, b: Float64Array): number {
  const norm = (x: Float64Array) => Math.sqrt(x.reduce((sum, one) => sum + one * one, 0));
  return norm(a.map((x, i) => x - (b[i] as number))) / norm(b);
}

describe.each(Object.entries(students))('inspectLayers, %s', (kind, student) => {
  it('gives the statistics that a plain computation gives', async () => {
    const seen: Progress[] = [];
    const { layers, cached } = await inspectLayers(student.path, {
      teacher: teacher.path,
      other: other.path,
      onProgress: (progress) => seen.push(progress),
    });
    expect(cached).toBe(false);
    expect(layers.map(({ name }) => name)).toEqual(
      [...student.tensors.keys()]
        .filter((name) => name.endsWith('.weight_scale'))
        .map((name) => name.replace('.weight_scale', '')),
    );
    for (const layer of layers) {
      layerStatisticsSchema.parse(layer);
      const matrix = plain(student, layer.name, layer.rows, layer.columns);
      expect([layer.rows, layer.columns]).toEqual(student.tensors.get(`${layer.name}.weight`)?.shape);
      const balance = plainBalance(matrix);
      expect(layer.positiveShare).toBeCloseTo(balance.total, 10);
      expectClose(layer.rowBalance, { ...plainDistribution(balance.byRow) });
      expectClose(layer.columnBalance, { ...plainDistribution(balance.byColumn) });
      expectClose(layer.g, { ...plainDistribution([...matrix.g]) });
      expectClose(layer.h, { ...plainDistribution([...matrix.h]) });
      const outliers = plainOutliers(matrix.g);
      expect(layer.outlierInputs.map(({ channel }) => channel)).toEqual(
        outliers.map(({ channel }) => channel),
      );
      expectClose(layer.teacher, plainTeacher(matrix, values(teacher, `${layer.name}.weight`), 300));
      const before = plain(other, layer.name, layer.rows, layer.columns);
      const same = matrix.signs.filter((x, at) => x < 0 === (before.signs[at] as number) < 0).length;
      expectClose(layer.other, {
        signAgreement: same / matrix.signs.length,
        gChange: change(matrix.g, before.g),
        hChange: change(matrix.h, before.h),
      });
      if (kind === 'training') {
        const rms = Math.sqrt(matrix.signs.reduce((sum, x) => sum + x * x, 0) / matrix.signs.length);
        const near = matrix.signs.filter((x) => Math.abs(x) < 0.05 * rms).length;
        expect(near).toBeGreaterThan(0);
        expect(layer.nearZeroShare).toBeCloseTo(near / matrix.signs.length, 10);
      } else expect(layer).not.toHaveProperty('nearZeroShare');
    }
    expect(seen.at(-1)).toMatchObject({ done: layers.length, total: layers.length });
  });

  it('leaves out what needs another checkpoint when there is none', async () => {
    const { layers } = await inspectLayers(student.path);
    expect(layers[0]).not.toHaveProperty('teacher');
    expect(layers[0]).not.toHaveProperty('other');
  });
});

describe('the cache', () => {
  const cacheFolder = join(folder, 'state', 'inspections');
  const cache = new LayersCache(cacheFolder);
  const path = students.onebit.path;

  it('answers where the files are the same, and only then', async () => {
    const first = await inspectLayers(path, { teacher: teacher.path, cache });
    const seen: Progress[] = [];
    const again = await inspectLayers(path, {
      teacher: teacher.path,
      cache,
      onProgress: (progress) => seen.push(progress),
    });
    expect(again).toEqual({ ...first, cached: true });
    expect(seen).toEqual([]);
    expect((await inspectLayers(path, { cache })).cached).toBe(false);
    expect((await inspectLayers(path, { cache, other: other.path })).cached).toBe(false);
    expect((await inspectLayers(path, { cache })).cached).toBe(true);

    const changing = writeRandomCheckpoint(join(folder, 'changing'), { layout: 'onebit', seed: 6, ...shape });
    const before = await inspectLayers(changing.path, { cache });
    writeRandomCheckpoint(join(folder, 'changing'), { layout: 'onebit', seed: 7, ...shape });
    const after = await inspectLayers(changing.path, { cache });
    expect(after.cached).toBe(false);
    expect(after.layers[0]?.positiveShare).not.toBe(before.layers[0]?.positiveShare);
  });

  it('computes again what is damaged, and stays bounded', async () => {
    for (const file of readdirSync(cacheFolder)) writeFileSync(join(cacheFolder, file), '{"layers": [');
    expect((await inspectLayers(path, { cache })).cached).toBe(false);
    expect((await inspectLayers(path, { cache })).cached).toBe(true);
    for (let i = 0; i < 150; i++) writeFileSync(join(cacheFolder, `${i}.json`), '{}');
    await inspectLayers(path, { cache, other: path });
    expect(readdirSync(cacheFolder)).toHaveLength(100);
  });

  it('is left alone where its folder cannot be', async () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    const nowhere = new LayersCache(join(file, 'inspections'));
    expect((await inspectLayers(path, { cache: nowhere })).cached).toBe(false);
  });
});

it('refuses a model, teacher or other of the wrong kind or shape, and stops when cancelled', async () => {
  const wider = (layout: 'full' | 'onebit') =>
    writeRandomCheckpoint(join(folder, `wider-${layout}`), { layout, ...shape, intermediateSize: 96 });
  const onebit = students.onebit.path;
  await expect(inspectLayers(teacher.path)).rejects.toMatchObject({ code: 'unsupported' });
  await expect(inspectLayers(onebit, { teacher: onebit })).rejects.toMatchObject({ code: 'unsupported' });
  await expect(inspectLayers(onebit, { other: teacher.path })).rejects.toMatchObject({ code: 'unsupported' });
  const differs = { code: 'bad-request', message: expect.stringContaining('mlp.gate_proj') as string };
  await expect(inspectLayers(onebit, { teacher: wider('full').path })).rejects.toMatchObject(differs);
  await expect(inspectLayers(onebit, { other: wider('onebit').path })).rejects.toMatchObject(differs);
  await expect(inspectLayers(onebit, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'cancelled',
  });
});
