import { tf } from '../backend/tfjs.ts';
import { at, differentiable } from './fused.ts';

/**
 * Activation checkpointing: f(x), of which only x is kept for the gradient. The gradient runs f once more,
 * with the same kernels on the same numbers, so it is the same (up to the order of adding, where x is
 * used outside of f too); it costs a second forward pass of f.
 *
 * @param f Reads `variables` by itself, and no other tensor that a gradient is wanted for.
 * @param x [n, width] f32
 * @param variables the trainable variables of f
 */
export function recomputed(
  f: (x: tf.Tensor2D) => tf.Tensor2D,
  x: tf.Tensor2D,
  variables: tf.Tensor[],
): tf.Tensor2D {
  return differentiable<tf.Tensor2D>([x, ...variables], (save) => {
    save([x]);
    return {
      value: f(x),
      gradient: (dy, saved) => {
        const again = at(saved, 0) as tf.Tensor2D;
        const { value, grads } = onTapeOfItsOwn(() =>
          tf.engine().gradients(() => f(again), [again, ...variables], dy as tf.Tensor2D, true),
        );
        value.dispose();
        // A variable that f does not depend on has none.
        return [again, ...variables].map((input, i) => grads[i] ?? tf.zerosLike(input));
      },
    };
  });
}

/** tfjs has one tape, and the outer gradient still walks along it: the inner one must not take its place. */
function onTapeOfItsOwn<T>(run: () => T): T {
  const { state } = tf.engine();
  const outer = state.activeTape;
  try {
    return run();
  } finally {
    state.activeTape = outer;
  }
}
