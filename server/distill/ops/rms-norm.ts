import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, isFrozen, runKernel } from './fused.ts';

/**
 * RMSNorm of each row: x / sqrt(mean(x²) + eps) ⊙ gain.
 *
 * @param x [n, width] f32
 * @param gain [width] f32; if it is a `tf.Variable` that is not trainable, its gradient is not computed
 * @returns [n, width] f32
 */
export function rmsNorm(x: tf.Tensor2D, gain: tf.Tensor1D, eps: number): tf.Tensor2D {
  if (!hasKernel('OneBitRmsNorm')) {
    const meanSquare = tf.mean(tf.square(x), -1, true);
    return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, eps))), gain);
  }
  const gainGradient = !isFrozen(gain);
  return differentiable(gainGradient ? [x, gain] : [x], (save) => {
    const outputs = runKernel('OneBitRmsNorm', { x, gain }, { eps });
    save([x, gain, at(outputs, 1)]);
    return {
      value: at(outputs, 0),
      gradient: (dy, [x, gain, inverse]) =>
        runKernel('OneBitRmsNormGradient', { dy, x, gain, inverse }, { gainGradient }),
    };
  });
}
