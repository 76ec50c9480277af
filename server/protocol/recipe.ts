import { z } from 'zod';

const part = z.enum(['frozen', 'trained']);

/**
 * How the optimizer goes: what `onebit train` and `onebit distill` have in common. Every field is an
 * option of the command line (`flagOf`) and, of a distillation, a field of `job/start`.
 */
export const optimizerRecipeSchema = z.object({
  learningRate: z.number().min(1e-9).max(1).describe('peak learning rate'),
  floor: z.number().min(0).max(1).describe('share of the peak that the cosine ends at'),
  warmup: z.number().int().min(0).describe('steps over which the rate rises; at most a tenth of the run'),
  batch: z.number().int().min(1).max(4096).describe('windows of one step'),
  microBatch: z.number().int().min(1).max(4096).describe('windows in memory at once; gradients add up'),
  clip: z.number().min(0).describe('largest norm of the whole gradient; 0 = no limit'),
  weightDecay: z.number().min(0).max(10).describe('decoupled decay of matrices (vectors have none)'),
  beta1: z.number().min(0).max(0.9999).describe("Adam's decay of the first moment"),
  beta2: z.number().min(0).max(0.99999).describe("Adam's decay of the second moment"),
  recompute: z
    .enum(['none', 'blocks'])
    .describe('blocks: keep only what enters each decoder block and compute it again for the gradient'),
});
export type OptimizerRecipe = z.infer<typeof optimizerRecipeSchema>;

/** What makes a student out of its teacher (docs/distillation.md). */
export const studentRecipeSchema = z.object({
  start: z
    .enum(['svid', 'ones', 'random'])
    .describe('signs, g and h: by SVID; signs of the weights with g = h = 1; or random signs with g = h = 1'),
  latentStart: z
    .enum(['signs', 'weights'])
    .describe('latent weights: all of one size, or in proportion to the weights'),
  latentScale: z
    .number()
    .min(1e-6)
    .max(1)
    .describe(
      'mean size of the latent weights at the start; beside the learning rate, how readily signs turn',
    ),
  straightThrough: z
    .enum(['tanh', 'plain', 'clipped'])
    .describe('gradient through Sign: times 1.001 - tanh²; unchanged; or 0 where |latent| > 1'),
  blockSteps: z
    .number()
    .int()
    .min(0)
    .max(10_000_000)
    .describe('steps that each block first learns its teacher block alone; 0 = none'),
  blockInputs: z
    .enum(['student', 'teacher'])
    .describe('what enters a block then: what the student’s blocks before it make, or the teacher’s'),
  klWeight: z.number().min(0).describe('weight of the mean KL per token'),
  hiddenWeight: z.number().min(0).describe('weight of the hidden-state loss'),
  hiddenLayers: z
    .string()
    .regex(/^(authors|all|\d+(,\d+)*)$/, 'Expected authors, all, or numbers such as 0,4,8')
    .describe('hidden states compared: authors (all but the last), all, or numbers such as 0,4,8'),
  lmWeight: z.number().min(0).describe("weight of the student's own language-model loss"),
  embeddings: part.describe('the embedding; a tied head goes with it'),
  norms: part.describe('the gains of RMSNorm'),
  head: part.describe('an lm_head with weights of its own'),
});
export type StudentRecipe = z.infer<typeof studentRecipeSchema>;

/** All of a distillation's recipe. */
export const recipeSchema = optimizerRecipeSchema.extend(studentRecipeSchema.shape);
export type Recipe = z.infer<typeof recipeSchema>;

/** A named set of defaults: the authors', or the one that small models learn best with. */
export const presetSchema = z.enum(['paper', 'small']);
export type Preset = z.infer<typeof presetSchema>;

/** The command line's option of a recipe's field: `learningRate` is `--learning-rate`. */
export function flagOf(field: string): string {
  return `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
