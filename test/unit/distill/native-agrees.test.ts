import { afterAll, describe, expect, it } from 'vitest';
import { chooseBackend } from '../../../server/distill/backend/choose-backend.ts';
import { tf } from '../../../server/distill/backend/tfjs.ts';
import * as ops from '../../../server/distill/ops/index.ts';
import { nativeAddon, nativeFailure } from '../../../server/native/addon.ts';
import { evaluate, randomArray, relativeError } from './gradient-check.ts';

const addon = nativeAddon();
if (addon === undefined) console.warn(`The fused kernels are not tested: ${nativeFailure()}`);

const input = (seed: number, ...shape: number[]) => ({
  shape,
  values: randomArray(
    shape.reduce((a, b) => a * b, 1),
    seed,
  ),
});

const attention = { batch: 2, window: 75, heads: 6, kvHeads: 3, headDim: 48, ropeTheta: 10000 };
const cases: { name: string; inputs: ReturnType<typeof input>[]; op: (...x: tf.Tensor[]) => tf.Tensor }[] = [
  {
    name: 'signLinear',
    inputs: [input(1, 310, 77), input(2, 93, 77), input(3, 77), input(4, 93)],
    op: (x, latent, g, h) =>
      ops.signLinear(x as tf.Tensor2D, latent as tf.Tensor2D, g as tf.Tensor1D, h as tf.Tensor1D, {
        straightThrough: 'tanh',
      }),
  },
  {
    name: 'linear',
    inputs: [input(1, 610, 40), input(2, 30, 40)],
    op: (x, weight) => ops.linear(x as tf.Tensor2D, weight as tf.Tensor2D),
  },
  {
    name: 'rmsNorm',
    inputs: [input(1, 130, 100), input(2, 100)],
    op: (x, gain) => ops.rmsNorm(x as tf.Tensor2D, gain as tf.Tensor1D, 1e-5),
  },
  {
    name: 'causalAttention',
    inputs: [input(1, 150, 288), input(2, 150, 144), input(3, 150, 144)],
    op: (q, k, v) => ops.causalAttention(q as tf.Tensor2D, k as tf.Tensor2D, v as tf.Tensor2D, attention),
  },
  {
    name: 'swiglu',
    inputs: [input(1, 130, 101), input(2, 130, 101)],
    op: (gate, up) => ops.swiglu(gate as tf.Tensor2D, up as tf.Tensor2D),
  },
  {
    name: 'softmaxKl',
    inputs: [input(1, 33, 1000)],
    op: (student) => ops.softmaxKl(tf.tensor2d(randomArray(33000, 9), [33, 1000]), student as tf.Tensor2D),
  },
  {
    name: 'plain tensor operations',
    inputs: [input(1, 2, 30, 40), input(2, 30, 1), input(3, 40)],
    op: (x, column, row) => {
      const y = tf.add(tf.mul(x, column), tf.sub(row, tf.mul(x, 0.5)));
      const z = tf.div(tf.transpose(tf.exp(y), [2, 0, 1]), tf.add(tf.mean(tf.square(y), [0, 1, 2]), 1));
      return tf.add(tf.sum(tf.sigmoid(z), 1), tf.sqrt(tf.add(tf.sum(tf.square(z), 1), 1)));
    },
  },
];

describe.skipIf(addon === undefined)('the native backend', () => {
  afterAll(() => addon?.setThreads(0));

  it.each(cases)('$name agrees with the composition of core ops', async ({ inputs, op }) => {
    await chooseBackend('cpu');
    const plain = await evaluate({ inputs, op });
    await chooseBackend('native');
    const native = await evaluate({ inputs, op });
    expect(relativeError(native.value, plain.value)).toBeLessThan(1e-5);
    native.gradients.forEach((gradient, i) => {
      expect(relativeError(gradient, plain.gradients[i] ?? []), `gradient ${i}`).toBeLessThan(2e-5);
    });
  });

  it.each([1, 2, 3])('gives the same bits every time on %i threads', async (threads) => {
    await chooseBackend('native');
    addon?.setThreads(threads);
    for (const { inputs, op } of cases) {
      const first = await evaluate({ inputs, op });
      expect(await evaluate({ inputs, op })).toEqual(first);
    }
  });

  it('keeps what it was given apart from what it changes', async () => {
    await chooseBackend('native');
    const given = randomArray(20, 1);
    const before = given.slice();
    const parameter = tf.variable(tf.tensor1d(given));
    const gradient = tf.tensor1d(randomArray(20, 2));
    const read = await parameter.data();
    const moments = ops.adamMoments(parameter);
    ops.adamStep(parameter, gradient, moments, { learningRate: 1, step: 1 });
    expect(given).toEqual(before);
    expect(read).toEqual(before);
    expect(await parameter.data()).not.toEqual(before);
    tf.dispose([parameter, gradient, moments.first, moments.second]);
  });

  it('reports a token outside of the vocabulary', async () => {
    await chooseBackend('native');
    const table = tf.zeros([4, 3]) as tf.Tensor2D;
    expect(() => ops.embed(table, tf.tensor1d([1, 4], 'int32'))).toThrow(/holds 4 at 1, outside of 0 to 3/);
    table.dispose();
  });
});
