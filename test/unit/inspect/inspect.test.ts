import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import { inspectSigns } from '../../../server/inspect/signs.ts';
import { layerStatisticsSchema } from '../../../server/protocol/inspect.ts';
import type { Progress } from '../../../server/protocol/progress.ts';
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
const students = {
  onebit: writeRandomCheckpoint(join(folder, 'onebit'), { layout: 'onebit', seed: 1, ...shape }),
  training: writeRandomCheckpoint(join(folder, 'training'), {
    layout: 'bitllama-training',
    seed: 2,
    ...shape,
  }),
  inference: writeRandomCheckpoint(join(folder, 'inference'), {
    layout: 'bitllama-inference',
    seed: 3,
    ...shape,
  }),
};

function tensor(model: RandomCheckpoint, name: string): { shape: number[]; values: Float64Array } {
  const found = model.tensors.get(name);
  if (found === undefined) throw new Error(name);
  return found;
}
/** Sign by the method's rule: zero counts as +1. */
const sign = (x: number) => (x < 0 ? -1 : 1);

describe.each(Object.entries(students))('inspectLayers, %s', (_kind, student) => {
  it('gives the statistics that a plain computation gives', async () => {
    const seen: Progress[] = [];
    const { layers } = await inspectLayers(student.path, {
      teacher: teacher.path,
      onProgress: (progress) => seen.push(progress),
    });
    expect(layers.map(({ name }) => name)).toEqual(
      [...student.tensors.keys()]
        .filter((name) => name.endsWith('.weight_scale'))
        .map((name) => name.replace('.weight_scale', '')),
    );
    for (const layer of layers) {
      layerStatisticsSchema.parse(layer);
      const weight = tensor(student, `${layer.name}.weight`);
      const original = tensor(teacher, `${layer.name}.weight`).values;
      const g = tensor(student, `${layer.name}.input_factor`).values;
      const h = tensor(student, `${layer.name}.weight_scale`).values;
      expect([layer.rows, layer.columns]).toEqual(weight.shape);
      const signs = weight.values.map(sign);
      let [error, total, same, positive] = [0, 0, 0, 0];
      signs.forEach((s, at) => {
        const w = original[at] as number;
        const rebuilt = s * (h[Math.floor(at / g.length)] as number) * (g[at % g.length] as number);
        error += (w - rebuilt) ** 2;
        total += w ** 2;
        same += s === sign(w) ? 1 : 0;
        positive += s > 0 ? 1 : 0;
      });
      expect(layer.positiveShare).toBeCloseTo(positive / signs.length, 12);
      expect(layer.signAgreement).toBeCloseTo(same / signs.length, 12);
      expect(layer.relativeError).toBeCloseTo(Math.sqrt(error / total), 6);
      for (const [found, values] of [
        [layer.g, g],
        [layer.h, h],
      ] as const) {
        const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
        const std = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
        expect(found.mean).toBeCloseTo(mean, 8);
        expect(found.std).toBeCloseTo(std, 8);
        expect(found.min).toBeCloseTo(Math.min(...values), 8);
        expect(found.max).toBeCloseTo(Math.max(...values), 8);
      }
    }
    expect(seen.at(-1)).toMatchObject({ done: layers.length, total: layers.length });
  });

  it('leaves out what needs a teacher when there is none', async () => {
    const { layers } = await inspectLayers(student.path);
    expect(layers[0]).not.toHaveProperty('relativeError');
    expect(layers[0]).not.toHaveProperty('signAgreement');
  });
});

describe('inspectSigns', () => {
  const name = 'model.layers.1.mlp.down_proj'; // 64 × 88

  it.each(Object.entries(students))('gives the mean sign of each block: %s', async (_kind, student) => {
    const { values } = tensor(student, `${name}.weight`);
    // 30 rows into 7 cells and 50 columns into 16: blocks of unequal size, off the byte boundaries.
    const region = { row: 5, column: 11, rows: 30, columns: 50, height: 7, width: 16 };
    const picture = await inspectSigns({ model: student.path, name, ...region });
    expect([picture.height, picture.width]).toEqual([7, 16]);
    const cells = Array.from({ length: 7 * 16 }, () => [] as number[]);
    for (let i = 0; i < 30; i++) {
      for (let j = 0; j < 50; j++) {
        const cell = Math.floor((i * 7) / 30) * 16 + Math.floor((j * 16) / 50);
        cells[cell]?.push(sign(values[(5 + i) * 88 + 11 + j] as number));
      }
    }
    picture.cells.forEach((value, cell) => {
      const all = cells[cell] ?? [];
      expect(value).toBeCloseTo(all.reduce((sum, x) => sum + x, 0) / all.length, 12);
    });
  });

  it('gives one cell a sign where the picture is larger than the region', async () => {
    const picture = await inspectSigns({
      model: teacher.path,
      name,
      rows: 2,
      columns: 3,
      height: 100,
      width: 100,
    });
    const { values } = tensor(teacher, `${name}.weight`);
    expect([picture.height, picture.width]).toEqual([2, 3]);
    expect(picture.cells).toEqual([0, 1, 2, 88, 89, 90].map((at) => sign(values[at] as number)));
  });

  it.each([
    [{ name: 'model.embed_tokens' }, /no matrix model\.embed_tokens/],
    [{ name: 'model.layers.9.mlp.up_proj' }, /no matrix/],
    [{ row: 60, rows: 5 }, /64 × 88/],
    [{ columns: 89 }, /64 × 88/],
  ])('refuses %o', async (wrong, message) => {
    const params = { model: teacher.path, name, rows: 4, columns: 4, height: 4, width: 4, ...wrong };
    await expect(inspectSigns(params)).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringMatching(message),
    });
  });
});

it('refuses a model or teacher of the wrong kind or shape, and stops when cancelled', async () => {
  const wider = writeRandomCheckpoint(join(folder, 'wider'), {
    layout: 'full',
    ...shape,
    intermediateSize: 96,
  });
  const onebit = students.onebit.path;
  await expect(inspectLayers(teacher.path)).rejects.toMatchObject({ code: 'unsupported' });
  await expect(inspectLayers(onebit, { teacher: onebit })).rejects.toMatchObject({ code: 'unsupported' });
  await expect(inspectLayers(onebit, { teacher: wider.path })).rejects.toMatchObject({
    code: 'bad-request',
    message: expect.stringContaining('mlp.gate_proj'),
  });
  await expect(inspectLayers(onebit, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'cancelled',
  });
});
