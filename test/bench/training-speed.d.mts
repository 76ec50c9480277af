import type { TrainingShape } from './training-inputs.ts';

/** What distill.py reads besides `batch`, `window`, `steps` and `threads`. */
export const paperRecipe: Readonly<Record<string, number | string | boolean>>;

export interface Side {
  secondsPerStep: number;
  peakBytes: number;
  /** One a step. */
  losses: number[];
}

export function measureTraining(
  options: {
    shape?: TrainingShape;
    recipe: Readonly<Record<string, number | string | boolean>>;
    flags: (string | number)[];
    rounds: number;
    peer: boolean;
  },
  folder: string,
): Promise<{ onebit: Side; pytorch?: Side }>;

export function lossDifference(sides: { onebit: Side; pytorch: Side }): number;
export function findPyTorch(): string | undefined;
