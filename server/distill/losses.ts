import { tf } from './backend/tfjs.ts';
import { crossEntropy, softmaxKl, unitDistance } from './ops/index.ts';
import type { ForwardResult } from './llama-graph.ts';
import type { DistillationWeights } from './distillation-weights.ts';

export interface DistillationLoss {
  loss: tf.Scalar;
  /** Mean over tokens, natural log. */
  kl: tf.Scalar;
  /** Sum over hidden_states[0 … n−1] of the mean squared distance of unit vectors. */
  hidden: tf.Scalar;
  /** Mean over tokens; present when it is part of the loss. */
  nll: tf.Scalar | undefined;
}

/** The distillation loss of a batch. `labels` is `[batch · window]` int32. Differentiable in the student. */
export function distillationLoss(
  teacher: ForwardResult,
  student: ForwardResult,
  labels: tf.Tensor1D,
  weights: DistillationWeights,
): DistillationLoss {
  const kl = softmaxKl(teacher.logits, student.logits);
  const distances = teacher.hiddenStates.map((state, layer) => {
    const own = student.hiddenStates[layer];
    if (own === undefined) throw new Error('Teacher and student differ in depth.');
    return unitDistance(state, own);
  });
  const hidden = distances.reduce((sum, distance) => tf.add(sum, distance));
  const nll = weights.languageModel > 0 ? crossEntropy(student.logits, labels) : undefined;
  let loss: tf.Scalar = tf.mul(kl, weights.kl);
  if (weights.hidden > 0) loss = tf.add(loss, tf.mul(hidden, weights.hidden));
  if (nll !== undefined) loss = tf.add(loss, tf.mul(nll, weights.languageModel));
  return { loss, kl, hidden, nll };
}
