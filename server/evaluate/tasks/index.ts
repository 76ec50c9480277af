import type { ChoiceTask } from '../choice-question.ts';
import { arc } from './arc.ts';
import { boolq } from './boolq.ts';
import { hellaswag } from './hellaswag.ts';
import { piqa } from './piqa.ts';
import { winogrande } from './winogrande.ts';

/** The multiple-choice tasks by lm-evaluation-harness' names. */
export const choiceTasks = {
  hellaswag,
  piqa,
  arc_easy: arc,
  arc_challenge: arc,
  boolq,
  winogrande,
} as const satisfies Record<string, ChoiceTask>;

export type TaskName = keyof typeof choiceTasks | 'infilling';

export const taskNames: readonly TaskName[] = [
  ...(Object.keys(choiceTasks) as (keyof typeof choiceTasks)[]),
  'infilling',
];
