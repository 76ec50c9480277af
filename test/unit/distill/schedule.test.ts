import { describe, expect, it } from 'vitest';
import { learningRate, shareDone, type Schedule } from '../../../server/distill/schedule.ts';

const bySteps: Schedule = { peak: 2, floor: 0.1, warmupSteps: 50, steps: 1000, seconds: undefined };
const byTime: Schedule = { ...bySteps, steps: undefined, seconds: 100 };

describe('learning rate', () => {
  it('rises to the peak over the warm-up, then falls along half a cosine to the floor', () => {
    // The cosine already runs during the warm-up, as it does in the usual implementations.
    const cosine = (share: number) => 0.1 + 0.9 * 0.5 * (1 + Math.cos(Math.PI * share));
    expect(learningRate(bySteps, 0, 0)).toBeCloseTo((2 / 50) * cosine(0), 12);
    expect(learningRate(bySteps, 24, 0)).toBeCloseTo(2 * (25 / 50) * cosine(0.024), 12);
    expect(learningRate(bySteps, 49, 0)).toBeCloseTo(2 * cosine(0.049), 12);
    expect(learningRate(bySteps, 500, 0)).toBeCloseTo(2 * 0.55, 12);
    expect(learningRate(bySteps, 1000, 0)).toBeCloseTo(0.2, 12);
  });

  it('is fitted to the clock, and still gets to the peak where a step takes long', () => {
    expect(learningRate(byTime, 3, 10)).toBeCloseTo(2 * (0.1 + 0.45 * (1 + Math.cos(Math.PI * 0.1))), 12);
    expect(learningRate(byTime, 1, 5)).toBeCloseTo(
      0.5 * 2 * (0.1 + 0.45 * (1 + Math.cos(Math.PI * 0.05))),
      12,
    );
    expect(learningRate(byTime, 20, 100)).toBeCloseTo(0.2, 12);
  });

  it('ends a run with both limits at whichever comes first', () => {
    const both: Schedule = { ...bySteps, seconds: 100 };
    expect(shareDone(both, 250, 50)).toBe(0.5);
    expect(shareDone(both, 750, 50)).toBe(0.75);
    expect(shareDone(both, 5000, 0)).toBe(1);
  });
});
