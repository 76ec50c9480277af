import type { Command } from 'commander';
import { register as registerInfill } from './eval-infill.ts';
import { register as registerPerplexity } from './eval-ppl.ts';
import { register as registerTasks } from './eval-tasks.ts';

/** `onebit eval`: what measures one model. */
export function register(program: Command): void {
  const evaluate = program.command('eval').description('Measure a model.');
  registerPerplexity(evaluate);
  registerTasks(evaluate);
  registerInfill(evaluate);
}
