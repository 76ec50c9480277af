import { setImmediate as nextTurn } from 'node:timers/promises';
import { throwIfCancelled } from '../protocol/error.ts';

/** Milliseconds of work in one go, before others have their turn. */
const sliceMs = 5;

/**
 * Runs work that halts (`Tokenizer.encoding`), and lets everything else that waits go on whenever a slice of time is
 * over: a long text of one client does not hold up another's completion.
 * @throws cancelled, and what the work throws
 */
export async function inSlices<T>(steps: Generator<undefined, T>, signal?: AbortSignal): Promise<T> {
  for (let begun = performance.now(); ;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - begun < sliceMs) continue;
    await nextTurn();
    throwIfCancelled(signal);
    begun = performance.now();
  }
}

/** Runs through all halts. @returns the result */
export function finish<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
