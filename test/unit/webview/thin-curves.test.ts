import { describe, expect, it } from 'vitest';
import { appendCurves, curvesOf, indexAtOrAfter } from '../../../webview/runs/run-curves.ts';
import { smooth, thinLines } from '../../../webview/runs/thin-curves.ts';

const metric = (step: number, loss: number) => ({
  ...{ step, seconds: step, loss, learningRate: 1, tokensPerSecond: 1, tokens: 1 },
});

describe('a line with more points than pixels', () => {
  it('keeps its peaks, in their places', () => {
    const steps = Array.from({ length: 100_000 }, (_, i) => i);
    const values = steps.map((step) => (step === 43_210 ? 99 : step === 70_000 ? -7 : Math.sin(step)));
    const thin = thinLines([{ steps, values }], 0, 99_999, 500);
    expect(thin.steps).toHaveLength(1000);
    const line = thin.values[0] ?? [];
    const at = (value: number) => thin.steps[line.indexOf(value)] ?? NaN;
    expect(Math.abs(at(99) - 43_210)).toBeLessThan(200);
    expect(Math.abs(at(-7) - 70_000)).toBeLessThan(200);
  });

  it('has the points beside what is zoomed to at the edges, and gaps where there is nothing', () => {
    const line = { steps: [0, 10, 20, 30], values: [1, 2, NaN, 4] };
    const { values } = thinLines([line], 9, 21, 4);
    expect(values[0]).toEqual([1, 2, null, null, null, null, 4, null]);
  });
});

it('smooths as TensorBoard does, without a pull to zero at the start', () => {
  const smoothed = smooth([2, 4, NaN, 4], 0.5);
  expect(smoothed[0]).toBeCloseTo(2, 6);
  expect(smoothed[1]).toBeCloseTo((0.25 * 2 + 0.5 * 4) / 0.75, 6);
  expect(smoothed[2]).toBeNaN();
  expect(smoothed[3]).toBeCloseTo((0.125 * 2 + 0.25 * 4 + 0.5 * 4) / 0.875, 6);
});

it('later points of a step stand', () => {
  const all = appendCurves(
    curvesOf([metric(1, 5), metric(2, 6), metric(3, 7)]),
    curvesOf([metric(2, 1), metric(4, 2)]),
  );
  expect([...all.steps]).toEqual([1, 2, 4]);
  expect([...all.values.loss]).toEqual([5, 1, 2]);
  expect(indexAtOrAfter(all.steps, 3)).toBe(2);
});
