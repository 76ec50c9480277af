import { beforeAll, describe, expect, it } from 'vitest';
import type { TrainingAddon, TrainingFunctions } from '../../../server/distill/backend/training-addon.ts';
import { nativeAddon, nativeFailure } from '../../../server/native/addon.ts';
import { randomArray, relativeError } from './gradient-check.ts';

const addon = nativeAddon<TrainingAddon>();
if (addon === undefined) console.warn(`The native matrix product is not tested: ${nativeFailure()}`);

/** op(a)[m, k] op(b)[k, n] in float64, by the definition. */
function product(
  a: Float32Array,
  b: Float32Array,
  m: number,
  n: number,
  k: number,
  transposeA: boolean,
  transposeB: boolean,
): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const left = a[transposeA ? p * m + i : i * k + p] ?? NaN;
      for (let j = 0; j < n; j++) {
        c[i * n + j] = (c[i * n + j] ?? NaN) + left * (b[transposeB ? j * k + p : p * n + j] ?? NaN);
      }
    }
  }
  return c;
}

describe.skipIf(addon === undefined)('the native matrix product', () => {
  let kernels: TrainingFunctions;
  beforeAll(() => {
    if (addon !== undefined) kernels = addon.training;
  });

  const shapes: [number, number, number][] = [
    [1, 1, 1],
    [1, 33, 7],
    [14, 32, 320],
    [15, 31, 321],
    [13, 65, 640],
    [29, 97, 1],
    [200, 70, 130],
    [337, 40, 512], // rows of 2 KiB: A is packed
    [6, 8, 3000], // k by parts
    [61, 47, 2049],
    [128, 257, 700],
  ];
  describe.each(shapes)('m %i, n %i, k %i', (m, n, k) => {
    it.each([
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ])('transposed %s, %s', (transposeA, transposeB) => {
      const a = randomArray(m * k, m);
      const b = randomArray(n * k, n);
      const c = new Float32Array(m * n + 3).fill(7);
      kernels.gemm(a, b, c, 1, m, n, k, transposeA, transposeB, 0, 0);
      const expected = product(a, b, m, n, k, transposeA, transposeB);
      expect(relativeError(c.subarray(0, m * n), expected)).toBeLessThan(1e-5);
      expect(Array.from(c.subarray(m * n))).toEqual([7, 7, 7]);
    });
  });

  it('multiplies batches, one matrix for all where the stride is 0', () => {
    const [batch, m, n, k] = [3, 17, 19, 23];
    const a = randomArray(batch * m * k, 1);
    const b = randomArray(k * n, 2);
    const c = new Float32Array(batch * m * n);
    kernels.gemm(a, b, c, batch, m, n, k, false, false, m * k, 0);
    for (let i = 0; i < batch; i++) {
      const expected = product(a.subarray(i * m * k), b, m, n, k, false, false);
      expect(relativeError(c.subarray(i * m * n, (i + 1) * m * n), expected)).toBeLessThan(1e-5);
    }
  });

  it('gives the same bits every time', () => {
    const [m, n, k] = [150, 90, 2500];
    const a = randomArray(m * k, 1);
    const b = randomArray(n * k, 2);
    const run = () => {
      const c = new Float32Array(m * n);
      kernels.gemm(a, b, c, 1, m, n, k, true, false, 0, 0);
      return c;
    };
    const first = run();
    for (let i = 0; i < 10; i++) expect(run()).toEqual(first);
  });

  it('refuses arrays that are too short and ids outside of the table', () => {
    const short = new Float32Array(5);
    expect(() => kernels.gemm(short, short, short, 1, 2, 3, 2, false, false, 0, 0)).toThrow(
      /argument 1 has 5/,
    );
    const table = new Float32Array(12);
    const y = new Float32Array(6);
    expect(() => kernels.embed(table, Int32Array.of(0, 4), y, 2, 3, 4)).toThrow(/holds 4 at 1/);
  });
});
