import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, runKernel } from './fused.ts';

export interface RopeShape {
  /** Sequences side by side in the rows: row = sequence · window + position. */
  batch: number;
  /** Positions of each sequence, from 0. */
  window: number;
  heads: number;
  /** Width of a head; even. */
  headDim: number;
  ropeTheta?: number;
  /** Angular frequency of each pair, [headDim / 2]; for scaled RoPE (linear, llama3). Default: ropeTheta^(-2i/headDim). */
  ropeFrequencies?: Float32Array;
}

/** The angular frequencies of plain RoPE: theta^(-2i/headDim), [headDim / 2]. */
export function ropeFrequencies(headDim: number, theta = 10000): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
}

/**
 * Rotary position embedding in the order of Hugging Face's LLaMA ("half-rotated"): element i of a head turns
 * with element i + headDim/2.
 *
 * @param x [batch · window, heads · headDim] f32
 * @returns the same shape
 */
export function rope(x: tf.Tensor2D, shape: RopeShape): tf.Tensor2D {
  const { window, headDim } = shape;
  const frequencies = shape.ropeFrequencies ?? ropeFrequencies(headDim, shape.ropeTheta);
  if (!hasKernel('OneBitRope')) {
    const { cos, sin } = angles(window, headDim, frequencies);
    const split = tf.reshape(x, [shape.batch, window, shape.heads, headDim]);
    return tf.reshape(rotate(split, cos, sin), x.shape);
  }
  const attributes = { window, headDim, frequencies };
  return differentiable([x], () => ({
    value: at(runKernel('OneBitRope', { x }, { ...attributes, inverse: false }), 0),
    gradient: (dy) => runKernel('OneBitRope', { x: dy }, { ...attributes, inverse: true }),
  }));
}

/** cos and sin of position · frequency, twice side by side: [window, 1, headDim] each. */
export function angles(
  window: number,
  headDim: number,
  frequencies: Float32Array,
): { cos: tf.Tensor; sin: tf.Tensor } {
  const cos = new Float32Array(window * headDim);
  const sin = new Float32Array(window * headDim);
  const half = headDim / 2;
  for (let position = 0; position < window; position++) {
    for (let i = 0; i < headDim; i++) {
      const angle = position * (frequencies[i % half] ?? 0);
      cos[position * headDim + i] = Math.cos(angle);
      sin[position * headDim + i] = Math.sin(angle);
    }
  }
  return { cos: tf.tensor(cos, [window, 1, headDim]), sin: tf.tensor(sin, [window, 1, headDim]) };
}

/** Turns the pairs of x, [batch, window, heads, headDim]. */
export function rotate(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor {
  const [low, high] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
  return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(high), low], -1), sin));
}
