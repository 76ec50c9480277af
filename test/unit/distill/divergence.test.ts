import { expect, it } from 'vitest';
import { DivergenceWatch } from '../../../server/distill/measure/divergence.ts';
import { normal } from '../../reference/random.ts';

/** The steps (from 1) after which a run of these losses is suspect first, and given up. */
function watch(loss: (step: number) => number, steps = 1000): { suspect?: number; diverged?: number } {
  const watch = new DivergenceWatch();
  const found: { suspect?: number; diverged?: number } = {};
  for (let step = 1; step <= steps; step++) {
    watch.add(loss(step));
    if (watch.isSuspect) found.suspect ??= step;
    if (watch.hasDiverged) found.diverged ??= step;
  }
  return found;
}

const noise = normal(5);
const learning = (step: number) => 2 + 6 * Math.exp(-step / 100) + 0.3 * noise();

it('lets a noisy run go on, and one that rises at first, and one with a spike', () => {
  expect(watch(learning)).toEqual({});
  expect(watch((step) => 0.5 + (step < 200 ? 0.6 : 0) + 0.05 * noise())).toEqual({});
  const spike = watch((step) => (step > 500 && step < 560 ? 9 : learning(step)));
  expect(spike.suspect).toBeLessThan(525);
  expect(spike.diverged).toBeUndefined();
});

it('gives a run up that lost what it had learnt for a hundred steps', () => {
  const { suspect = 0, diverged } = watch((step) => (step > 500 ? 9 : learning(step)));
  expect(suspect).toBeGreaterThan(500);
  expect(suspect).toBeLessThan(525);
  expect(diverged).toBe(suspect + 99);
});

it('gives a run up whose loss only rises', () => {
  const { diverged } = watch((step) => 5 + 0.2 * step);
  // The first mean, of steps 1 to 20, is 7.1; the mean is over four times that from step 127 on.
  expect(diverged).toBe(127 + 99);
});
