import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, runKernel } from './fused.ts';

/**
 * The distillation loss on hidden states: mean over rows of the squared distance between the rows' directions,
 * ‖a/‖a‖ - b/‖b‖‖² (the paper's L_MSE of one layer).
 *
 * @param a [n, width] f32
 * @param b [n, width] f32
 * @returns scalar
 */
export function unitDistance(a: tf.Tensor2D, b: tf.Tensor2D): tf.Scalar {
  if (!hasKernel('OneBitUnitDistance')) {
    return tf.mean(tf.sum(tf.square(tf.sub(unit(a), unit(b))), -1));
  }
  return differentiable([a, b], (save) => {
    save([a, b]);
    return {
      value: at(runKernel('OneBitUnitDistance', { a, b }), 0),
      gradient: (dy, [a, b]) => runKernel('OneBitUnitDistanceGradient', { dy, a, b }),
    };
  });
}

function unit(x: tf.Tensor2D): tf.Tensor2D {
  return tf.mul(x, tf.rsqrt(tf.add(tf.sum(tf.square(x), -1, true), 1e-24)));
}
