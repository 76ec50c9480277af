import type { OptimizerRecipe, Preset, Recipe } from '../protocol/recipe.ts';

/**
 * Weight of the mean KL per token beside a hidden-state loss of weight 1 in the authors' code: 0.01 × the
 * KL summed over the T = 2048 tokens of a window. It does not change with the window here, because the KL
 * is a mean.
 */
export const authorsKlWeight = 0.01 * 2048;

const scratchOptimizer: OptimizerRecipe = {
  learningRate: 2e-3,
  floor: 0.05,
  warmup: 100,
  batch: 16,
  microBatch: 4,
  clip: 1,
  weightDecay: 0.1,
  beta1: 0.9,
  beta2: 0.98,
  recompute: 'none',
};

/** Of `onebit train`. */
export const scratchRecipe: Readonly<OptimizerRecipe> = scratchOptimizer;

const paper: Recipe = {
  learningRate: 4e-4,
  floor: 0,
  warmup: 500,
  batch: 8,
  microBatch: 1,
  clip: 1,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.98,
  recompute: 'none',
  start: 'svid',
  latentStart: 'signs',
  latentScale: 0.01,
  straightThrough: 'tanh',
  blockSteps: 0,
  blockInputs: 'student',
  klWeight: authorsKlWeight,
  hiddenWeight: 1,
  hiddenLayers: 'authors',
  lmWeight: 0,
  embeddings: 'frozen',
  norms: 'frozen',
  head: 'frozen',
};

/**
 * - `paper`: the recipe of the paper and its code (METHOD.md, Distillation).
 * - `small`: below a billion parameters, and with minutes instead of days. Latent weights in proportion
 *   to the teacher's let the signs of weights near zero turn first; embedding, norms and head that may
 *   move make up for what the signs cannot say.
 */
export const presets: Readonly<Record<Preset, Readonly<Recipe>>> = {
  paper,
  small: {
    ...paper,
    learningRate: 2e-3,
    floor: 0.02,
    warmup: 50,
    batch: 4,
    microBatch: 4,
    latentStart: 'weights',
    klWeight: 1,
    hiddenWeight: 1 / authorsKlWeight,
    embeddings: 'trained',
    norms: 'trained',
    head: 'trained',
  },
};

/** Parameters from which on `paper` is the default. */
const paperParameters = 1e9;

/** The preset for a teacher of so many parameters. */
export function presetFor(parameters: number): Preset {
  return parameters < paperParameters ? 'small' : 'paper';
}
