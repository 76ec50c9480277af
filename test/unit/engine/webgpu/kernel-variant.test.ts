import { describe, expect, it } from 'vitest';
import { kernelVariant, takesIntegers } from '../../../../server/engine/webgpu/kernel-source.ts';
import type { OptionalFeature } from '../../../../server/gpu/adapters.ts';

const device = (integerDot: boolean, ...features: OptionalFeature[]) => ({
  features: new Set(features),
  integerDot,
});

describe('what a device gets of the kernels', () => {
  it('is by its features', () => {
    const plain = { subgroups: false, halfCache: true, integerProducts: false };
    expect(kernelVariant(device(false), false, undefined)).toEqual(plain);
    expect(kernelVariant(device(false, 'subgroups'), false, undefined)).toEqual({
      ...plain,
      subgroups: true,
    });
    expect(kernelVariant(device(true), false, undefined)).toEqual({ ...plain, integerProducts: true });
  });

  it('is f32 throughout where that is asked for', () => {
    for (const products of [undefined, 'integer', 'f32']) {
      const { halfCache, integerProducts } = kernelVariant(device(true), true, products);
      expect([halfCache, integerProducts]).toEqual([false, false]);
    }
  });

  it('is the products that were asked for, whatever the device is faster with', () => {
    expect(kernelVariant(device(true), false, 'f32').integerProducts).toBe(false);
    expect(kernelVariant(device(false), false, 'integer').integerProducts).toBe(true);
  });

  it('keeps f32 where there are no words of 32 inputs, and before the lm_head', () => {
    expect(takesIntegers({ COPIES: 3 })).toBe(true);
    expect(takesIntegers({ COPIES: 0 })).toBe(false);
    expect(takesIntegers({ FLOAT_INPUTS: true })).toBe(false);
    expect(takesIntegers({ FLOAT_INPUTS: false })).toBe(true);
  });
});
