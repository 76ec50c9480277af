import { tf } from '../../../server/distill/backend/tfjs.ts';
import * as ops from '../../../server/distill/ops/index.ts';
import { randomArray, type Differentiable } from './gradient-check.ts';

/** An op at one shape: the inputs that it is differentiated by, and how it is called. */
export type OpCase = Pick<Differentiable, 'inputs' | 'op'> & { name: string };

function input(seed: number, ...shape: number[]): { shape: number[]; values: Float32Array } {
  const size = shape.reduce((product, length) => product * length, 1);
  return { shape, values: randomArray(size, seed) };
}

/** Beyond what kernels work on at a time, and not a multiple of it. */
function scaled(by: number, from: ReturnType<typeof input>): ReturnType<typeof input> {
  return { ...from, values: from.values.map((value) => value * by) };
}

/** Ids below `limit`, some of them more than once. */
function ids(n: number, limit: number): Int32Array {
  return Int32Array.from({ length: n }, (_, i) => (i * i * 7 + 3) % limit);
}

const straightThrough = ['tanh', 'plain', 'clipped'] as const;
const attentions = [
  { batch: 2, window: 75, heads: 6, kvHeads: 3, headDim: 48 },
  { batch: 3, window: 9, heads: 3, kvHeads: 1, headDim: 10 },
  { batch: 1, window: 17, heads: 2, kvHeads: 2, headDim: 6 },
];

/**
 * Every differentiable op of server/distill/ops at shapes that no tile divides, gradients of all their inputs
 * included. What a fused kernel makes of them must be what the composition of core operations makes.
 */
export const opCases: OpCase[] = [
  ...straightThrough.map((kind, i): OpCase => {
    const [n, width, outputs] = (
      [
        [310, 77, 93],
        [65, 40, 130],
        [7, 129, 5],
      ] as const
    )[i] ?? [1, 8, 8];
    return {
      name: `signLinear, straight through: ${kind}`,
      // Some latent weights beyond 1, where `clipped` lets no gradient through.
      inputs: [input(1, n, width), scaled(1.5, input(2, outputs, width)), input(3, width), input(4, outputs)],
      op: (x, latent, g, h) =>
        ops.signLinear(x as tf.Tensor2D, latent as tf.Tensor2D, g as tf.Tensor1D, h as tf.Tensor1D, {
          straightThrough: kind,
        }),
    };
  }),
  {
    name: 'linear',
    inputs: [input(1, 610, 40), input(2, 30, 40)],
    op: (x, weight) => ops.linear(x as tf.Tensor2D, weight as tf.Tensor2D),
  },
  {
    name: 'linear with bias',
    inputs: [input(1, 67, 33), input(2, 131, 33), input(3, 131)],
    op: (x, weight, bias) => ops.linear(x as tf.Tensor2D, weight as tf.Tensor2D, bias as tf.Tensor1D),
  },
  {
    name: 'rmsNorm',
    inputs: [input(1, 130, 100), input(2, 100)],
    op: (x, gain) => ops.rmsNorm(x as tf.Tensor2D, gain as tf.Tensor1D, 1e-5),
  },
  {
    name: 'rmsNorm, rows longer than a workgroup',
    inputs: [input(1, 3, 517), input(2, 517)],
    op: (x, gain) => ops.rmsNorm(x as tf.Tensor2D, gain as tf.Tensor1D, 1e-5),
  },
  {
    name: 'rope',
    inputs: [input(1, 33, 54)],
    op: (x) => ops.rope(x as tf.Tensor2D, { batch: 3, window: 11, heads: 3, headDim: 18 }),
  },
  ...attentions.map((shape): OpCase => {
    const { batch, window, heads, kvHeads, headDim } = shape;
    const n = batch * window;
    return {
      name: `causalAttention, ${heads} heads on ${kvHeads}, window ${window}`,
      inputs: [input(1, n, heads * headDim), input(2, n, kvHeads * headDim), input(3, n, kvHeads * headDim)],
      op: (q, k, v) =>
        ops.causalAttention(q as tf.Tensor2D, k as tf.Tensor2D, v as tf.Tensor2D, {
          ...shape,
          ropeTheta: 10000,
        }),
    };
  }),
  {
    name: 'swiglu',
    inputs: [scaled(4, input(1, 130, 101)), input(2, 130, 101)],
    op: (gate, up) => ops.swiglu(gate as tf.Tensor2D, up as tf.Tensor2D),
  },
  {
    name: 'embed',
    inputs: [input(1, 37, 29)],
    op: (table) => ops.embed(table as tf.Tensor2D, tf.tensor1d(ids(70, 37), 'int32')),
  },
  {
    name: 'crossEntropy',
    inputs: [scaled(3, input(1, 33, 1003))],
    op: (logits) => ops.crossEntropy(logits as tf.Tensor2D, tf.tensor1d(ids(33, 1003), 'int32')),
  },
  {
    name: 'crossEntropy with mask',
    inputs: [scaled(3, input(1, 19, 77))],
    op: (logits) =>
      ops.crossEntropy(
        logits as tf.Tensor2D,
        tf.tensor1d(ids(19, 77), 'int32'),
        tf.tensor1d(Float32Array.from({ length: 19 }, (_, i) => Number(i % 3 > 0))),
      ),
  },
  {
    name: 'softmaxKl',
    inputs: [input(1, 33, 1003)],
    op: (student) =>
      ops.softmaxKl(tf.tensor2d(randomArray(33 * 1003, 9), [33, 1003]), student as tf.Tensor2D),
  },
  {
    name: 'bucketKl',
    inputs: [input(1, 9, 77)],
    op: (logits) => {
      const tokens = Int32Array.from({ length: 9 * 5 }, (_, i) => ((i % 5) * 13 + Math.floor(i / 5)) % 77);
      const probabilities = Float32Array.from({ length: 9 * 5 }, (_, i) => 0.3 / (1 + (i % 5)));
      return ops.bucketKl(
        tf.tensor2d(tokens, [9, 5], 'int32'),
        tf.tensor2d(probabilities, [9, 5]),
        logits as tf.Tensor2D,
      );
    },
  },
  {
    name: 'unitDistance',
    inputs: [input(1, 65, 77), input(2, 65, 77)],
    op: (a, b) => ops.unitDistance(a as tf.Tensor2D, b as tf.Tensor2D),
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
