import { describe, expect, it } from 'vitest';
import { colourScale } from '../../../webview/layers/colour-scale.ts';

describe('a colour scale', () => {
  it('goes from the smallest to the largest value', () => {
    const scale = colourScale([3, undefined, 1, NaN, 5]);
    expect([scale.low, scale.high]).toEqual([1, 5]);
    expect([1, 2, 5].map((value) => scale.share(value))).toEqual([0, 0.25, 1]);
  });

  it('goes both ways from a middle, as far on either side', () => {
    const scale = colourScale([0.4, 0.55], { middle: 0.5 });
    expect(scale.low).toBeCloseTo(0.4);
    expect(scale.high).toBeCloseTo(0.6);
    expect(scale.share(0.4)).toBeCloseTo(-1);
    expect(scale.share(0.5)).toBe(0);
    expect(scale.share(0.55)).toBeCloseTo(0.5);
  });

  it('has no colour for what is no number, and none stands out where all are the same', () => {
    const scale = colourScale([2, 2]);
    expect(scale.share(undefined)).toBeUndefined();
    expect(scale.share(NaN)).toBeUndefined();
    expect(scale.share(2)).toBe(0);
    expect(colourScale([], { middle: 0.5 })).toMatchObject({ low: 0.5, high: 0.5 });
    expect(colourScale([0.5, 0.5], { middle: 0.5 }).share(0.5)).toBe(0);
  });

  it('goes by the logarithm where that is asked for and all values are over zero', () => {
    const scale = colourScale([0.1, 1, 10], { logarithmic: true });
    expect(scale.share(0.1)).toBe(0);
    expect(scale.share(1)).toBeCloseTo(0.5);
    expect(scale.share(10)).toBe(1);
    expect(scale.share(0)).toBe(0);
    expect(colourScale([0, 10], { logarithmic: true }).share(5)).toBe(0.5);
  });

  it('holds values outside of it at its ends', () => {
    expect(colourScale([0, 1]).share(7)).toBe(1);
    expect(colourScale([0, 1]).share(-7)).toBe(0);
    expect(colourScale([-1, 1], { middle: 0 }).share(-7)).toBe(-1);
  });
});
