import { tf } from '../backend/tfjs.ts';

/**
 * The ops of this folder that a backend may have a kernel for. Each name stands for a forward kernel
 * and, with `Gradient` after it, for its hand-written gradient.
 */
export type FusedOp =
  | 'OneBitSignLinear'
  | 'OneBitLinear'
  | 'OneBitRmsNorm'
  | 'OneBitRope'
  | 'OneBitCausalAttention'
  | 'OneBitSwiglu'
  | 'OneBitEmbed'
  | 'OneBitCrossEntropy'
  | 'OneBitSoftmaxKl'
  | 'OneBitUnitDistance'
  | 'OneBitAdam'
  | 'OneBitSquaredNorm';

/** Whether the current backend has a kernel of its own for the op. */
export function hasKernel(op: FusedOp): boolean {
  return tf.getKernel(op, tf.getBackend()) !== undefined;
}

/** Runs a kernel of the current backend; call it inside `differentiable`, which records the gradient. */
export function runKernel(
  name: FusedOp | `${FusedOp}Gradient`,
  inputs: Record<string, tf.Tensor | undefined>,
  attributes: object = {},
): tf.Tensor[] {
  const given: tf.NamedTensorMap = {};
  for (const [key, tensor] of Object.entries(inputs)) if (tensor !== undefined) given[key] = tensor;
  const result: tf.Tensor | tf.Tensor[] = tf
    .engine()
    .runKernel(name, given, attributes as unknown as tf.NamedAttrMap);
  return Array.isArray(result) ? result : [result];
}

/** Element `index` of a list of tensors that is known to be that long. */
export function at(tensors: readonly tf.Tensor[], index: number): tf.Tensor {
  const tensor = tensors[index];
  if (tensor === undefined) throw new Error(`There is no tensor ${index} among ${tensors.length}.`);
  return tensor;
}

/**
 * A function of `inputs` with a gradient written by hand.
 *
 * @param forward Computes the value and may `save` tensors for the gradient.
 *   `gradient` gets dy and what was saved, and returns one tensor for each input.
 */
export function differentiable<T extends tf.Tensor = tf.Tensor>(
  inputs: tf.Tensor[],
  forward: (save: (tensors: tf.Tensor[]) => void) => {
    value: tf.Tensor;
    gradient: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor[];
  },
): T {
  const op = tf.customGrad((...args) => {
    const save = args[args.length - 1] as tf.GradSaveFunc;
    const { value, gradient } = forward(save);
    return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => gradient(dy, saved) };
  });
  return op(...inputs) as T;
}

/** A variable that is not trained: nobody asks for its gradient, so that no kernel computes it. */
export function isFrozen(tensor: tf.Tensor): boolean {
  return tensor instanceof tf.Variable && !tensor.trainable;
}
