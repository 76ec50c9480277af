import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, runKernel } from './fused.ts';
import { angles, ropeFrequencies, rotate } from './rope.ts';

export interface AttentionShape {
  /** Sequences side by side in the rows: row = sequence · window + position. */
  batch: number;
  /** Positions of each sequence, from 0. */
  window: number;
  heads: number;
  /** Heads of keys and values; divides `heads`. Query head i reads key head floor(i · kvHeads / heads). */
  kvHeads: number;
  /** Width of a head; even. */
  headDim: number;
  /** Base of the rotary embedding that is applied to q and k first. */
  ropeTheta: number;
  /** Instead of ropeTheta: the frequency of each pair, [headDim / 2] (scaled RoPE). */
  ropeFrequencies?: Float32Array;
}

/**
 * Rotary embedding of q and k (half-rotated, Hugging Face's LLaMA order), then causal attention
 * softmax(q kᵀ / sqrt(headDim)) v with grouped queries. Each position sees itself and those before it in
 * its own sequence.
 *
 * @param q [batch · window, heads · headDim] f32
 * @param k [batch · window, kvHeads · headDim] f32
 * @param v [batch · window, kvHeads · headDim] f32
 * @returns [batch · window, heads · headDim] f32
 */
export function causalAttention(
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  shape: AttentionShape,
): tf.Tensor2D {
  const frequencies = shape.ropeFrequencies ?? ropeFrequencies(shape.headDim, shape.ropeTheta);
  if (!hasKernel('OneBitCausalAttention')) return composed(q, k, v, shape, frequencies);
  const { batch, window, heads, kvHeads, headDim } = shape;
  const attributes = { batch, window, heads, kvHeads, headDim, frequencies };
  return differentiable([q, k, v], (save) => {
    const outputs = runKernel('OneBitCausalAttention', { q, k, v }, attributes);
    const y = at(outputs, 0);
    save([y, ...outputs.slice(1), v]);
    return {
      value: y,
      gradient: (dy, [y, logSumExp, turnedQ, turnedK, v]) =>
        runKernel('OneBitCausalAttentionGradient', { dy, y, logSumExp, turnedQ, turnedK, v }, attributes),
    };
  });
}

function composed(
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  { batch, window, heads, kvHeads, headDim }: AttentionShape,
  frequencies: Float32Array,
): tf.Tensor2D {
  const { cos, sin } = angles(window, headDim, frequencies);
  const split = (x: tf.Tensor, n: number) => tf.reshape(x, [batch, window, n, headDim]);
  // The query heads of one key head lie side by side: they become more rows against the same keys.
  const rows = (x: tf.Tensor, group: number) =>
    tf.reshape<tf.Rank.R3>(tf.transpose(x, [0, 2, 1, 3]), [batch * kvHeads, group * window, headDim]);
  const group = heads / kvHeads;
  const queries = rows(rotate(split(q, heads), cos, sin), group);
  const keys = rows(rotate(split(k, kvHeads), cos, sin), 1);
  const values = rows(split(v, kvHeads), 1);
  const scores = tf.reshape(tf.mul(tf.matMul(queries, keys, false, true), 1 / Math.sqrt(headDim)), [
    batch * heads,
    window,
    window,
  ]);
  const weights = tf.softmax(tf.add(scores, laterPositions(window)));
  const mixed = tf.matMul(tf.reshape<tf.Rank.R3>(weights, [batch * kvHeads, group * window, window]), values);
  return tf.reshape(tf.transpose(tf.reshape(mixed, [batch, heads, window, headDim]), [0, 2, 1, 3]), [
    batch * window,
    heads * headDim,
  ]);
}

/** [window, window]: 0 where the column may be seen, a large negative number where it comes later. */
function laterPositions(window: number): tf.Tensor2D {
  const mask = new Float32Array(window * window);
  for (let row = 0; row < window; row++) mask.fill(-1e9, row * window + row + 1, (row + 1) * window);
  return tf.tensor2d(mask, [window, window]);
}
