import type { DataOptions } from '../../../server/distill/data/training-data.ts';
import type { TrainerOptions } from '../../../server/distill/trainer.ts';

/** Data of runs that take a second; what a test looks at goes over it. */
export const smallData = {
  heldOut: [],
  heldOutShare: 0.1,
  window: 16,
  seed: 1,
  infillRate: undefined,
  infillSplit: 'mixed',
} satisfies Partial<DataOptions>;

/** The optimizer's part of such runs. */
export const smallTrainer = {
  window: 16,
  clip: 1,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.98,
  checkpointSteps: 5,
} satisfies Partial<TrainerOptions>;
