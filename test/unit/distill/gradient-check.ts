import { expect } from 'vitest';
import { tf } from '../../../server/distill/backend/tfjs.ts';

/** The same numbers in (-1, 1) every time (xorshift). */
export function random(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return (state / 2 ** 32) * 2 - 1;
  };
}

export function randomArray(n: number, seed: number): Float32Array {
  const next = random(seed * 7919 + 17);
  for (let i = 0; i < 8; i++) next();
  return Float32Array.from({ length: n }, next);
}

/** Largest difference, relative to the largest magnitude that was expected. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let scale = 1e-12;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const wanted = expected[i] ?? NaN;
    scale = Math.max(scale, Math.abs(wanted));
    const difference = Math.abs((actual[i] ?? NaN) - wanted);
    worst = Number.isNaN(difference) ? Infinity : Math.max(worst, difference);
  }
  return worst / scale;
}

export interface Differentiable {
  /** The inputs to differentiate by. */
  inputs: { shape: number[]; values: Float32Array }[];
  /** The op under test. */
  op: (...inputs: tf.Tensor[]) => tf.Tensor;
  /** The float64 reference, flat. */
  reference: (...inputs: Float64Array[]) => Float64Array;
  /** A different function for the numeric gradient (straight-through estimators pretend another one). */
  pretended?: (...inputs: Float64Array[]) => Float64Array;
}

export interface Evaluation {
  value: Float32Array;
  gradients: Float32Array[];
  weights: Float32Array;
}

/** Value of the op and gradients of Σ weights ⊙ value, on the current backend. */
export async function evaluate({ inputs, op }: Pick<Differentiable, 'inputs' | 'op'>): Promise<Evaluation> {
  const tensors = inputs.map(({ values, shape }) => tf.tensor(values, shape));
  const value = tf.tidy(() => op(...tensors));
  const weights = randomArray(value.size, 4242);
  const dy = tf.tensor(weights, value.shape);
  const gradients = tf.grads(op)(tensors, dy);
  const result = {
    value: Float32Array.from(await value.data()),
    gradients: await Promise.all(gradients.map(async (gradient) => Float32Array.from(await gradient.data()))),
    weights,
  };
  tf.dispose([tensors, value, dy, gradients]);
  return result;
}

/**
 * Value and gradients of an op on one backend against another's: no number differs by more than 1e-5 of the
 * largest magnitude in its tensor. (Each number by itself would not do: where large terms cancel, f32 leaves few
 * of a small number's digits, in any order of adding.)
 */
export function expectAgreement(actual: Evaluation, expected: Evaluation): void {
  expect(relativeError(actual.value, expected.value), 'value').toBeLessThan(1e-5);
  expect(actual.gradients.length).toBe(expected.gradients.length);
  expected.gradients.forEach((wanted, i) => {
    expect(relativeError(actual.gradients[i] ?? [], wanted), `gradient of input ${i}`).toBeLessThan(1e-5);
  });
}

/** Value against the float64 reference, gradients against its central differences. */
export async function checkGradients(check: Differentiable, tolerance = 1e-4): Promise<void> {
  const { value, gradients, weights } = await evaluate(check);
  const exact = check.inputs.map(({ values }) => Float64Array.from(values));
  expect(relativeError(value, check.reference(...exact)), 'value').toBeLessThan(tolerance);
  const scalar = (inputs: Float64Array[]) =>
    (check.pretended ?? check.reference)(...inputs).reduce(
      (total, y, i) => total + y * (weights[i] ?? NaN),
      0,
    );
  const step = 1e-5;
  for (const [index, input] of exact.entries()) {
    const numeric = input.map((original, i) => {
      const moved = (by: number) =>
        scalar(exact.map((other, j) => (j === index ? other.with(i, original + by) : other)));
      return (moved(step) - moved(-step)) / (2 * step);
    });
    const gradient = gradients[index] ?? new Float32Array();
    expect(relativeError(gradient, numeric), `gradient of input ${index}`).toBeLessThan(tolerance);
  }
}
