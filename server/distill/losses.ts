import { OneBitError } from '../protocol/error.ts';
import type { StudentRecipe } from '../protocol/recipe.ts';
import { tf } from './backend/tfjs.ts';
import { bucketKl, crossEntropy, softmaxKl, unitDistance } from './ops/index.ts';
import type { ForwardResult } from './llama-graph.ts';
import type { CachedTarget } from './teacher-cache.ts';

export interface DistillationWeights {
  /** Of the mean KL(teacher ‖ student) per token. */
  kl: number;
  /** Of the sum over `hiddenLayers` of the distance of unit hidden states. */
  hidden: number;
  /** Indices into ForwardResult.hiddenStates. */
  hiddenLayers: readonly number[];
  /** Of the student's own language-model loss; 0 in the paper. */
  languageModel: number;
}

export interface DistillationLoss {
  loss: tf.Scalar;
  /** Mean over tokens, natural log. */
  kl: tf.Scalar;
  /** Present where the teacher's hidden states are: sum over the chosen layers of the mean squared distance of unit vectors. */
  hidden: tf.Scalar | undefined;
  /** Mean over tokens; present when it is part of the loss. */
  nll: tf.Scalar | undefined;
}

/** The distillation loss of a batch. `labels` is `[batch · window]` int32. Differentiable in the student. */
export function distillationLoss(
  teacher: ForwardResult | CachedTarget,
  student: ForwardResult,
  labels: tf.Tensor1D,
  weights: DistillationWeights,
): DistillationLoss {
  const kl =
    'logits' in teacher
      ? softmaxKl(teacher.logits, student.logits)
      : bucketKl(teacher.tokens, teacher.probabilities, student.logits);
  const hidden = 'logits' in teacher ? hiddenDistance(teacher, student, weights) : undefined;
  const nll = weights.languageModel > 0 ? crossEntropy(student.logits, labels) : undefined;
  let loss: tf.Scalar = tf.mul(kl, weights.kl);
  if (hidden !== undefined && weights.hidden > 0) loss = tf.add(loss, tf.mul(hidden, weights.hidden));
  if (nll !== undefined) loss = tf.add(loss, tf.mul(nll, weights.languageModel));
  return { loss, kl, hidden, nll };
}

function hiddenDistance(
  teacher: ForwardResult,
  student: ForwardResult,
  weights: DistillationWeights,
): tf.Scalar {
  const distances = weights.hiddenLayers.map((layer) => {
    const [wanted, own] = [teacher.hiddenStates[layer], student.hiddenStates[layer]];
    if (wanted === undefined || own === undefined) throw new Error(`There is no hidden state ${layer}.`);
    return unitDistance(wanted, own);
  });
  return distances.reduce((sum, distance) => tf.add(sum, distance), tf.scalar(0));
}

/**
 * The hidden states that a recipe names: `authors` is hidden_states[0 … n−1] (what enters each block),
 * `all` has the last block's output too, before the final norm.
 * @throws bad-request for a number that the model has no hidden state for
 */
export function hiddenLayersOf(recipe: Pick<StudentRecipe, 'hiddenLayers'>, layers: number): number[] {
  const { hiddenLayers } = recipe;
  if (hiddenLayers === 'authors') return Array.from({ length: layers }, (_, layer) => layer);
  if (hiddenLayers === 'all') return Array.from({ length: layers + 1 }, (_, layer) => layer);
  const chosen = hiddenLayers.split(',').map(Number);
  const beyond = chosen.find((layer) => layer > layers);
  if (beyond !== undefined) {
    throw new OneBitError(
      'bad-request',
      `--hidden-layers names ${beyond}, but the model has hidden states 0 to ${layers}.`,
    );
  }
  return [...new Set(chosen)];
}
