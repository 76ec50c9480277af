import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, isFrozen, runKernel } from './fused.ts';

/**
 * A full-precision linear layer: X Wᵀ (+ bias). The gradients of a `tf.Variable` that is not trainable are
 * not computed.
 *
 * @param x [n, in] f32
 * @param weight [out, in] f32
 * @param bias [out] f32
 * @returns [n, out] f32
 */
export function linear(x: tf.Tensor2D, weight: tf.Tensor2D, bias?: tf.Tensor1D): tf.Tensor2D {
  if (!hasKernel('OneBitLinear')) {
    const y: tf.Tensor2D = tf.matMul(x, weight, false, true);
    return bias === undefined ? y : tf.add<tf.Tensor2D>(y, bias);
  }
  const weightGradient = !isFrozen(weight);
  const biasGradient = bias !== undefined && !isFrozen(bias);
  const inputs: tf.Tensor[] = [x];
  if (weightGradient) inputs.push(weight);
  if (biasGradient) inputs.push(bias);
  return differentiable(inputs, (save) => {
    save([x, weight]);
    return {
      value: at(runKernel('OneBitLinear', { x, weight, bias }), 0),
      gradient: (dy, [x, weight]) =>
        runKernel('OneBitLinearGradient', { dy, x, weight }, { weightGradient, biasGradient }),
    };
  });
}
