import { tf } from '../backend/tfjs.ts';
import { at, hasKernel, runKernel } from './fused.ts';

export interface AdamOptions {
  learningRate: number;
  /** The paper's code has 0.9 and 0.98. */
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  weightDecay?: number;
  /**
   * false: weightDecay · parameter is added to the gradient, as torch's Adam does (and so the authors' code);
   * true: the parameter shrinks by learningRate · weightDecay on its own (AdamW).
   */
  decoupled?: boolean;
  /** The number of this step, from 1; corrects the moments' start at 0. */
  step: number;
  /** What the gradient is multiplied with first: `clipScale`. */
  gradientScale?: number;
}

/** What Adam keeps for one parameter: the moments, of the parameter's shape, 0 at the start. */
export interface AdamMoments {
  first: tf.Variable;
  second: tf.Variable;
}

/** Moments of 0 for a parameter. The caller disposes them. */
export function adamMoments(parameter: tf.Tensor): AdamMoments {
  return {
    first: tf.variable(tf.zeros(parameter.shape), false),
    second: tf.variable(tf.zeros(parameter.shape), false),
  };
}

/**
 * One step of Adam (Kingma and Ba, 2015) with bias correction. Changes the parameter and its moments in place.
 *
 * @param gradient f32, of the parameter's shape
 */
export function adamStep(
  parameter: tf.Variable,
  gradient: tf.Tensor,
  moments: AdamMoments,
  options: AdamOptions,
): void {
  const { learningRate, beta1 = 0.9, beta2 = 0.98, epsilon = 1e-8 } = options;
  const { weightDecay = 0, decoupled = false, step, gradientScale = 1 } = options;
  const correction1 = 1 / (1 - beta1 ** step);
  const correction2 = 1 / (1 - beta2 ** step);
  if (hasKernel('OneBitAdam')) {
    for (const variable of [parameter, moments.first, moments.second]) unshare(variable);
    const attributes = {
      learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      decoupled,
      correction1,
      correction2,
      gradientScale,
    };
    runKernel('OneBitAdam', { parameter, gradient, ...moments }, attributes);
    return;
  }
  tf.tidy(() => {
    let scaled: tf.Tensor = tf.mul(gradient, gradientScale);
    if (weightDecay !== 0 && !decoupled) scaled = tf.add(scaled, tf.mul(parameter, weightDecay));
    const first: tf.Tensor = tf.add(tf.mul(moments.first, beta1), tf.mul(scaled, 1 - beta1));
    const second: tf.Tensor = tf.add(tf.mul(moments.second, beta2), tf.mul(tf.square(scaled), 1 - beta2));
    const denominator = tf.add(tf.sqrt(tf.mul(second, correction2)), epsilon);
    let next: tf.Tensor = decoupled ? tf.mul(parameter, 1 - learningRate * weightDecay) : parameter;
    next = tf.sub(next, tf.div(tf.mul(first, learningRate * correction1), denominator));
    moments.first.assign(first);
    moments.second.assign(second);
    parameter.assign(next);
  });
}

/** Gives the variable data of its own: one made from a tensor, or cloned, shares it until it is assigned. */
function unshare(variable: tf.Variable): void {
  if (tf.backend().refCount(variable.dataId) > 1) {
    tf.tidy(() => variable.assign(tf.add(variable, 0)));
  }
}

/** The L2 norm of all gradients together; a scalar that the caller reads and disposes. */
export function gradientNorm(gradients: readonly tf.Tensor[]): tf.Scalar {
  const native = hasKernel('OneBitSquaredNorm');
  return tf.tidy(() => {
    const squares = gradients.map((gradient) =>
      native ? at(runKernel('OneBitSquaredNorm', { x: gradient }), 0) : tf.sum(tf.square(gradient)),
    );
    return tf.sqrt(total(squares)) as tf.Scalar;
  });
}

/** The sum in this order, a few at a time: a GPU's shader takes no more than eight tensors for sure. */
function total([first = tf.scalar(0), ...rest]: tf.Tensor[]): tf.Tensor {
  let sum = first;
  for (let i = 0; i < rest.length; i += 6) sum = tf.addN([sum, ...rest.slice(i, i + 6)]);
  return sum;
}

/** The factor that brings a gradient of this norm down to `limit`; 1 if it is below, or if limit is 0 (no clipping). */
export function clipScale(norm: number, limit: number): number {
  return limit > 0 && norm > limit ? limit / norm : 1;
}
