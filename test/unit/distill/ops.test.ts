import { beforeAll, describe, expect, it } from 'vitest';
import { chooseBackend } from '../../../server/distill/backend/choose-backend.ts';
import { tf } from '../../../server/distill/backend/tfjs.ts';
import { nativeAddon, nativeFailure } from '../../../server/native/addon.ts';
import * as ops from '../../../server/distill/ops/index.ts';
import * as reference from '../../reference/training-ops.ts';
import { checkGradients, randomArray, relativeError } from './gradient-check.ts';

const { matrix } = reference;

function input(seed: number, ...shape: number[]) {
  return {
    shape,
    values: randomArray(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  };
}

const native = nativeAddon() !== undefined;
if (!native) console.warn(`The native kernels are not tested: ${nativeFailure()}`);

describe.each(native ? (['cpu', 'native'] as const) : (['cpu'] as const))('training ops on %s', (backend) => {
  beforeAll(async () => {
    await chooseBackend(backend);
  });

  describe.each([
    [5, 7, 3],
    [9, 16, 20],
  ])('of %i rows, %i in, %i out', (n, inputs, outputs) => {
    it('linear', async () => {
      await checkGradients({
        inputs: [input(1, n, inputs), input(2, outputs, inputs), input(3, outputs)],
        op: (x, weight, bias) => ops.linear(x as tf.Tensor2D, weight as tf.Tensor2D, bias as tf.Tensor1D),
        reference: (x = new Float64Array(), weight = x, bias = x) =>
          reference.linear(matrix(n, inputs, x), matrix(outputs, inputs, weight), bias).values,
      });
    });

    it.each(['plain', 'tanh', 'clipped'] as const)(
      'signLinear, straight through: %s',
      async (straightThrough) => {
        const latent = input(2, outputs, inputs);
        // Some beyond 1, one on it and one at 0.
        latent.values = latent.values.map((value) => 2 * value);
        latent.values.set([1, 0, -1]);
        const run = (signs: reference.Matrix, x: Float64Array, g: Float64Array, h: Float64Array) =>
          reference.signLinear(matrix(n, inputs, x), signs, g, h, 1e-5).values;
        const fixed = reference.signsOf(matrix(outputs, inputs, latent.values));
        await checkGradients({
          inputs: [input(1, n, inputs), latent, input(3, inputs), input(4, outputs)],
          op: (x, latent, g, h) =>
            ops.signLinear(x as tf.Tensor2D, latent as tf.Tensor2D, g as tf.Tensor1D, h as tf.Tensor1D, {
              straightThrough,
            }),
          reference: (x = new Float64Array(), latent = x, g = x, h = x) =>
            run(reference.signsOf(matrix(outputs, inputs, latent)), x, g, h),
          // Around where it stands, Sign counts as a straight line of slope 1, or 1.001 - tanh², or 1 up to ±1.
          pretended: (x = new Float64Array(), moved = x, g = x, h = x) => {
            const signs = matrix(outputs, inputs, fixed.values);
            moved.forEach((value, i) => {
              const start = latent.values[i] ?? NaN;
              const slopes = {
                plain: 1,
                tanh: 1.001 - Math.tanh(start) ** 2,
                clipped: Math.abs(start) > 1 ? 0 : 1,
              };
              const slope = slopes[straightThrough];
              signs.values[i] = (signs.values[i] ?? NaN) + slope * (value - start);
            });
            return run(signs, x, g, h);
          },
        });
      },
    );
  });

  it('rmsNorm', async () => {
    await checkGradients({
      inputs: [input(1, 6, 19), input(2, 19)],
      op: (x, gain) => ops.rmsNorm(x as tf.Tensor2D, gain as tf.Tensor1D, 1e-5),
      reference: (x = new Float64Array(), gain = x) => reference.rmsNorm(matrix(6, 19, x), gain, 1e-5).values,
    });
  });

  it('rope', async () => {
    const shape = { batch: 2, window: 5, heads: 3, headDim: 6, ropeTheta: 100 };
    await checkGradients({
      inputs: [input(1, 10, 18)],
      op: (x) => ops.rope(x as tf.Tensor2D, shape),
      reference: (x = new Float64Array()) => reference.rope(matrix(10, 18, x), 5, 6, 100).values,
    });
  });

  it.each([
    { batch: 2, window: 7, heads: 4, kvHeads: 2, headDim: 6 },
    { batch: 1, window: 11, heads: 3, kvHeads: 3, headDim: 8 },
    { batch: 3, window: 4, heads: 2, kvHeads: 1, headDim: 18 },
  ])('causalAttention %o', async (sizes) => {
    const shape = { ...sizes, ropeTheta: 1000 };
    const n = shape.batch * shape.window;
    const width = shape.heads * shape.headDim;
    const kvWidth = shape.kvHeads * shape.headDim;
    await checkGradients({
      inputs: [input(1, n, width), input(2, n, kvWidth), input(3, n, kvWidth)],
      op: (q, k, v) => ops.causalAttention(q as tf.Tensor2D, k as tf.Tensor2D, v as tf.Tensor2D, shape),
      reference: (q = new Float64Array(), k = q, v = q) =>
        reference.causalAttention(matrix(n, width, q), matrix(n, kvWidth, k), matrix(n, kvWidth, v), shape)
          .values,
    });
  });

  it('swiglu', async () => {
    await checkGradients({
      inputs: [input(1, 5, 21), input(2, 5, 21)],
      op: (gate, up) => ops.swiglu(tf.mul<tf.Tensor2D>(gate, 4), up as tf.Tensor2D),
      reference: (gate = new Float64Array(), up = gate) =>
        reference.swiglu(
          matrix(
            5,
            21,
            gate.map((value) => value * 4),
          ),
          matrix(5, 21, up),
        ).values,
    });
  });

  it('embed, with repeated tokens', async () => {
    const ids = [3, 0, 3, 6, 1, 3];
    await checkGradients({
      inputs: [input(1, 7, 5)],
      op: (table) => ops.embed(table as tf.Tensor2D, tf.tensor1d(ids, 'int32')),
      reference: (table = new Float64Array()) => reference.embed(matrix(7, 5, table), ids).values,
    });
  });

  it.each([
    ['without mask', [1, 1, 1, 1, 1]],
    ['with mask', [1, 0, 1, 1, 0]],
  ])('crossEntropy %s', async (_, mask) => {
    const labels = [2, 22, 0, 7, 7];
    const given = mask.includes(0);
    await checkGradients({
      inputs: [input(1, 5, 23)],
      op: (logits) =>
        ops.crossEntropy(
          logits as tf.Tensor2D,
          tf.tensor1d(labels, 'int32'),
          given ? tf.tensor1d(mask, 'float32') : undefined,
        ),
      reference: (logits = new Float64Array()) =>
        Float64Array.of(reference.crossEntropy(matrix(5, 23, logits), labels, mask)),
    });
  });

  it('softmaxKl', async () => {
    const teacher = input(9, 4, 37);
    await checkGradients({
      inputs: [input(1, 4, 37)],
      op: (student) => ops.softmaxKl(tf.tensor2d(teacher.values, [4, 37]), student as tf.Tensor2D),
      reference: (student = new Float64Array()) =>
        Float64Array.of(reference.softmaxKl(matrix(4, 37, teacher.values), matrix(4, 37, student))),
    });
  });

  it('unitDistance', async () => {
    await checkGradients({
      inputs: [input(1, 6, 13), input(2, 6, 13)],
      op: (a, b) => ops.unitDistance(a as tf.Tensor2D, b as tf.Tensor2D),
      reference: (a = new Float64Array(), b = a) =>
        Float64Array.of(reference.unitDistance(matrix(6, 13, a), matrix(6, 13, b))),
    });
  });

  it.each([
    { weightDecay: 0, decoupled: false, gradientScale: 1 },
    { weightDecay: 0.1, decoupled: false, gradientScale: 0.5 },
    { weightDecay: 0.1, decoupled: true, gradientScale: 1 },
  ])('adamStep %o', async ({ weightDecay, decoupled, gradientScale }) => {
    const start = randomArray(45, 1);
    const original = tf.tensor2d(start, [5, 9]);
    // A variable shares the data of the tensor it was made from, which must not change.
    const parameter = tf.variable(original);
    const moments = ops.adamMoments(parameter);
    const expected = Float64Array.from(start);
    const first = new Float64Array(45);
    const second = new Float64Array(45);
    for (let step = 1; step <= 3; step++) {
      const values = randomArray(45, 10 + step);
      const gradient = tf.tensor2d(values, [5, 9]);
      ops.adamStep(parameter, gradient, moments, {
        learningRate: 0.01,
        beta2: 0.95,
        weightDecay,
        decoupled,
        step,
        gradientScale,
      });
      gradient.dispose();
      expected.forEach((value, i) => {
        const shrunk = decoupled ? value * (1 - 0.01 * weightDecay) : value;
        const g = (values[i] ?? NaN) * gradientScale + (decoupled ? 0 : weightDecay * value);
        const m = (first[i] = 0.9 * (first[i] ?? NaN) + 0.1 * g);
        const v = (second[i] = 0.95 * (second[i] ?? NaN) + 0.05 * g * g);
        expected[i] = shrunk - (0.01 * (m / (1 - 0.9 ** step))) / (Math.sqrt(v / (1 - 0.95 ** step)) + 1e-8);
      });
    }
    expect(relativeError(await parameter.data(), expected)).toBeLessThan(1e-5);
    expect(await original.data()).toEqual(start);
    tf.dispose([original, parameter, moments.first, moments.second]);
  });

  it('gradientNorm and clipScale', async () => {
    const gradients = [
      tf.tensor1d([3, 0, 0]),
      tf.tensor2d([[0, -4]]),
      tf.tensor1d(new Float32Array(1000).fill(0.1)),
    ];
    const norm = ops.gradientNorm(gradients);
    const value = (await norm.data())[0] ?? NaN;
    expect(value).toBeCloseTo(Math.sqrt(9 + 16 + 10), 5);
    expect(ops.clipScale(value, 1)).toBeCloseTo(1 / value, 9);
    expect(ops.clipScale(value, 100)).toBe(1);
    expect(ops.clipScale(value, 0)).toBe(1);
    tf.dispose([norm, ...gradients]);
  });

  it('leaves no tensors behind', async () => {
    const x = tf.tensor2d(randomArray(48, 1), [6, 8]);
    const latent = tf.variable(tf.tensor2d(randomArray(40, 2), [5, 8]));
    const g = tf.variable(tf.tensor1d(randomArray(8, 3)));
    const h = tf.variable(tf.tensor1d(randomArray(5, 4)));
    const run = () => {
      const { value, grads } = tf.variableGrads(
        () =>
          ops.crossEntropy(
            ops.signLinear(x, latent as tf.Tensor2D, g as tf.Tensor1D, h as tf.Tensor1D),
            tf.tensor1d([0, 1, 2, 3, 4, 0], 'int32'),
          ),
        [latent, g, h],
      );
      tf.dispose([value, grads]);
    };
    run();
    const before = tf.memory().numTensors;
    run();
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([x, latent, g, h]);
  });
});
