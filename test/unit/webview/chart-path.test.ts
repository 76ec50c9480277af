import { describe, expect, it } from 'vitest';
import { chartScale, chartY, stepArea, stepLine } from '../../../webview/layers/chart-path.ts';

describe('the scale of a chart', () => {
  it('holds all values of all series, and the base', () => {
    expect(
      chartScale(
        [
          [3, 5],
          [4, 9, NaN],
        ],
        0,
      ),
    ).toEqual({ low: 0, high: 9, base: 0 });
    expect(chartScale([[3, 5]])).toEqual({ low: 3, high: 5, base: 3 });
    expect(chartScale([[-2, 1]], 0)).toEqual({ low: -2, high: 1, base: 0 });
  });

  it('has a height where all values are the same, or none is there', () => {
    for (const scale of [chartScale([[2, 2]]), chartScale([[]]), chartScale([[NaN]], 0.5)]) {
      expect(scale.high).toBeGreaterThan(scale.low);
      expect(Number.isFinite(chartY(scale.low, scale, 100))).toBe(true);
    }
  });

  it('has large values above small ones, and nothing outside', () => {
    const scale = chartScale([[0, 4]]);
    expect([0, 1, 4, 99, -99].map((value) => chartY(value, scale, 100))).toEqual([100, 75, 0, 0, 100]);
  });
});

describe('the shapes of a chart', () => {
  const scale = { low: -1, high: 1, base: 0 };

  it('are steps that stand on the base, on either side of it', () => {
    expect(stepArea([1, -1], scale, 10, 100)).toBe('M0 50V0H5V100H10V50Z');
  });

  it('stand on the base where a value is not finite; a line breaks there', () => {
    expect(stepArea([NaN, 1], scale, 10, 100)).toBe('M0 50V50H5V0H10V50Z');
    expect(stepLine([1, NaN, -1, 0], scale, 8, 100)).toBe('M1 0M5 100L7 50');
    expect(stepLine([], scale, 8, 100)).toBe('');
  });
});
