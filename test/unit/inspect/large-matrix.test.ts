import { expect, it } from 'vitest';
import type { Checkpoint } from '../../../server/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { modelFolder } from '../../../server/checkpoint/starter.ts';
import { halfBits, widenFloats } from '../../../server/checkpoint/float-conversion.ts';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import { matrixStatistics } from '../../../server/inspect/matrix-statistics.ts';
import { plainBalance, plainDistribution, plainTeacher } from '../../reference/matrix-statistics.ts';
import { join } from 'node:path';

/** Every number of `expected` to 1e-5. */
function expectClose(found: object | undefined, expected: object): void {
  for (const [key, value] of Object.entries(expected) as [string, number][]) {
    const actual = (found as Record<string, number> | undefined)?.[key] ?? NaN;
    expect(Math.abs(actual - value), `${key}: ${actual} for ${value}`).toBeLessThan(1e-5);
  }
}

/** Normal weights with outlier columns and rows of unequal size, as trained matrices have them. */
function weightBits(rows: number, columns: number): { halves: Uint16Array; signs: Uint8Array } {
  let state = 7;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const uniform = () => (random() + 0.5) / 2 ** 32;
  const samples = Array.from({ length: 64 }, (_, row) =>
    Uint16Array.from({ length: 4096 }, () => {
      const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
      return halfBits(0.02 * (0.5 + row / 40) * normal);
    }),
  );
  const halves = new Uint16Array(rows * columns);
  const signs = new Uint8Array(halves.length / 8);
  for (let i = 0; i < rows; i++) {
    const sample = samples[i & 63] as Uint16Array;
    for (let j = 0; j < columns; j++) {
      const at = i * columns + j;
      const bits = random();
      let half = sample[bits & 4095] as number;
      if (j % 700 === 3 && half & 0x7c00) half += 3 << 10; // eight times as large
      halves[at] = half;
      // A student that has turned one sign of sixteen.
      if (half >> 15 !== (bits >>> 28 === 0 ? 1 : 0))
        signs[at >> 3] = (signs[at >> 3] as number) | (1 << (at & 7));
    }
  }
  return { halves, signs };
}

it.each([
  ['self_attn.q_proj', 4096, 4096],
  ['mlp.gate_proj', 11008, 4096],
] as const)('statistics of a matrix of LLaMA-7B’s shape, %s', async (projection, rows, columns) => {
  const { halves, signs } = weightBits(rows, columns);
  const w = new Float32Array(halves.length);
  widenFloats(new Uint8Array(halves.buffer), 'F16', w);
  const g = Float32Array.from({ length: columns }, (_, j) => 0.1 + 0.05 * Math.sin(j));
  const h = Float32Array.from({ length: rows }, (_, i) => 0.12 + 0.08 * Math.cos(i));
  const name = `model.layers.0.${projection}`;
  const { statistics } = await matrixStatistics({
    matrix: { name, layer: 0, projection },
    model: { signs: { rows, columns, bytes: signs }, g, h },
    teacher: { bytes: new Uint8Array(halves.buffer), dtype: 'F16' },
  });
  const unpacked = new Int8Array(halves.length);
  for (let at = 0; at < unpacked.length; at++)
    unpacked[at] = ((signs[at >> 3] as number) >> (at & 7)) & 1 ? -1 : 1;
  const plain = { rows, columns, signs: unpacked, g, h };
  const balance = plainBalance(plain);
  expectClose(statistics, { positiveShare: balance.total });
  expectClose(statistics.rowBalance, plainDistribution(balance.byRow));
  expectClose(statistics.columnBalance, plainDistribution(balance.byColumn));
  const teacher = plainTeacher(plain, w, 5);
  expect(teacher.signAgreement).toBeGreaterThan(0.9);
  expectClose(statistics.teacher, teacher);
});

it('statistics of the starter’s student against its teacher', async () => {
  const [student, teacher] = [modelFolder('starter'), join(modelFolder('starter'), '..', 'teacher')];
  const { layers } = await inspectLayers(student, { teacher });
  const opened: Checkpoint[] = [await openCheckpoint(student), await openCheckpoint(teacher)];
  const [packed, full] = opened as [Checkpoint, Checkpoint];
  try {
    expect(layers).toHaveLength(42);
    for (const { name, rows, columns, ...found } of layers) {
      const bytes = await packed.readBytes(`${name}.weight`);
      const signs = Array.from({ length: rows * columns }, (_, at) =>
        ((bytes[at >> 3] as number) >> (at & 7)) & 1 ? -1 : 1,
      );
      const g = await packed.readFloats(`${name}.input_factor`);
      const h = await packed.readFloats(`${name}.weight_scale`);
      const plain = { rows, columns, signs, g, h };
      expectClose(found.g, plainDistribution([...g]));
      expectClose(found.h, plainDistribution([...h]));
      expectClose(found.columnBalance, plainDistribution(plainBalance(plain).byColumn));
      expectClose(found.teacher, plainTeacher(plain, await full.readFloats(`${name}.weight`), 25));
    }
  } finally {
    await Promise.all(opened.map((checkpoint) => checkpoint.close()));
  }
});
