import { expect } from 'vitest';
import { tf } from '../../../server/distill/backend/tfjs.ts';
import * as ops from '../../../server/distill/ops/index.ts';
import { randomArray, relativeError } from './gradient-check.ts';

/** What Adam made of one parameter, and the norm of the last gradients. */
interface Optimized {
  parameter: Float32Array;
  first: Float32Array;
  second: Float32Array;
  norm: Float32Array;
}

const variants = [
  { weightDecay: 0.1, decoupled: true, gradientScale: 0.7 },
  { weightDecay: 0.1, decoupled: false, gradientScale: 1 },
];

/** Some steps of Adam on a parameter of 1,309 numbers, on the current backend. */
export async function optimized(): Promise<Optimized[]> {
  const results: Optimized[] = [];
  for (const variant of variants) {
    const start = tf.tensor2d(randomArray(17 * 77, 1), [17, 77]);
    const parameter = tf.variable(start);
    const moments = ops.adamMoments(parameter);
    let norm = new Float32Array();
    for (let step = 1; step <= 4; step++) {
      const gradient = tf.tensor2d(randomArray(17 * 77, 10 + step), [17, 77]);
      const other = tf.tensor1d(randomArray(301, 20 + step));
      ops.adamStep(parameter, gradient, moments, { learningRate: 0.01, step, ...variant });
      const total = ops.gradientNorm([gradient, other]);
      norm = Float32Array.from(await total.data());
      tf.dispose([gradient, other, total]);
    }
    const read = async (variable: tf.Tensor): Promise<Float32Array> =>
      Float32Array.from(await variable.data());
    results.push({
      parameter: await read(parameter),
      first: await read(moments.first),
      second: await read(moments.second),
      norm,
    });
    // The tensor that a variable was made from shares its data, and must not change with it.
    expect(Float32Array.from(await start.data())).toEqual(randomArray(17 * 77, 1));
    tf.dispose([start, parameter, moments.first, moments.second]);
  }
  return results;
}

/** Checks one backend's optimizer against another's to 1e-5 of the largest number in each tensor. */
export function expectSame(actual: Optimized[], expected: Optimized[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, wanted] of expected.entries()) {
    for (const name of ['parameter', 'first', 'second', 'norm'] as const) {
      const error = relativeError(actual[i]?.[name] ?? [], wanted[name]);
      expect(error, `${name}, variant ${i}`).toBeLessThan(1e-5);
    }
  }
}
