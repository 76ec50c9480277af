/**
 * The operations that teacher and student are made of. Activations are 2-D f32, `[n, width]` with
 * n = batch · window. Each op runs on any tfjs backend as a composition of core ops, and as one kernel
 * with a hand-written gradient where the current backend has it.
 */
export { signLinear, type SignLinearOptions } from './sign-linear.ts';
export { linear } from './linear.ts';
export { rmsNorm } from './rms-norm.ts';
export { rope, ropeFrequencies, type RopeShape } from './rope.ts';
export { causalAttention, type AttentionShape } from './causal-attention.ts';
export { swiglu } from './swiglu.ts';
export { embed } from './embed.ts';
export { crossEntropy } from './cross-entropy.ts';
export { bucketKl } from './bucket-kl.ts';
export { softmaxKl } from './softmax-kl.ts';
export { unitDistance } from './unit-distance.ts';
export { recomputed } from './recomputed.ts';
export {
  adamMoments,
  adamStep,
  clipScale,
  gradientNorm,
  type AdamMoments,
  type AdamOptions,
} from './adam.ts';
