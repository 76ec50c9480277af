import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, runKernel } from './fused.ts';

/**
 * The gated activation of LLaMA's feed-forward block: silu(gate) ⊙ up, silu(z) = z · sigmoid(z).
 *
 * @param gate [n, width] f32
 * @param up [n, width] f32
 * @returns [n, width] f32
 */
export function swiglu(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D {
  if (!hasKernel('OneBitSwiglu')) return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
  return differentiable([gate, up], (save) => {
    save([gate, up]);
    return {
      value: at(runKernel('OneBitSwiglu', { gate, up }), 0),
      gradient: (dy, [gate, up]) => runKernel('OneBitSwigluGradient', { dy, gate, up }),
    };
  });
}
