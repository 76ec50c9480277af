import { describe, expect, it } from 'vitest';
import { floatsToHalfBytes, halfBits, widenFloats } from '../../../server/checkpoint/float-conversion.ts';
import { checkFinite, packSigns, unpackSigns } from '../../../server/checkpoint/sign-packing.ts';
import { round } from '../../reference/random-checkpoint.ts';

/** A half's value from the definition of IEEE 754 binary16. */
function valueOfHalf(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) % 32;
  const fraction = bits % 1024;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

describe('float conversion', () => {
  const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
  const bytes = new Uint8Array(all.buffer);

  it('widens every half to its value', () => {
    const values = new Float32Array(65536);
    widenFloats(bytes, 'F16', values);
    const wrong = [...values].findIndex((value, bits) => !Object.is(value, valueOfHalf(bits)));
    expect(wrong).toBe(-1);
  });

  it('widens every bfloat16: the upper half of a float', () => {
    const values = new Float32Array(65536);
    widenFloats(bytes, 'BF16', values);
    const view = new DataView(new ArrayBuffer(4));
    const wrong = [...values].findIndex((value, bits) => {
      view.setUint16(0, bits);
      return !Object.is(value, view.getFloat32(0));
    });
    expect(wrong).toBe(-1);
  });

  it('widens a part into the middle of an array', () => {
    const values = new Float32Array(6).fill(9);
    widenFloats(Uint8Array.of(0, 0x3c, 0, 0xc0), 'F16', values, 2);
    widenFloats(new Uint8Array(Float32Array.of(0.1).buffer), 'F32', values, 5);
    expect([...values]).toEqual([9, 9, 1, -2, 9, Math.fround(0.1)]);
  });

  it('narrows every half back to itself', () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = valueOfHalf(bits);
      if (!Number.isNaN(value) && halfBits(value) !== bits) expect(halfBits(value)).toBe(bits);
    }
  });

  it('rounds to the nearest half, ties to even', () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const [low, high] = [valueOfHalf(bits), valueOfHalf(bits + 1)];
      const even = bits % 2 === 0 ? bits : bits + 1;
      const tie = (low + high) / 2;
      const cases = [halfBits(tie), halfBits(tie - (high - low) / 8), halfBits(tie + (high - low) / 8)];
      if (cases.join() !== [even, bits, bits + 1].join()) expect(cases).toEqual([even, bits, bits + 1]);
    }
    for (const value of [1 / 3, -Math.PI, 1e-7, 6e-8, 12345.678]) {
      expect(valueOfHalf(halfBits(value))).toBe(round(Math.fround(value), 'F16'));
    }
    expect([65519, 65520, 1e10, -1e10, Infinity].map((v) => valueOfHalf(halfBits(v)))).toEqual([
      65504,
      Infinity,
      Infinity,
      -Infinity,
      Infinity,
    ]);
    expect(valueOfHalf(halfBits(NaN))).toBeNaN();
  });

  it('refuses what fp16 cannot hold, naming the tensor', () => {
    expect(floatsToHalfBytes(Float32Array.of(1, -2), 'x')).toEqual(Uint8Array.of(0, 0x3c, 0, 0xc0));
    for (const value of [NaN, 65520, -Infinity]) {
      expect(() => floatsToHalfBytes(Float32Array.of(0, value), 'layer.h')).toThrow('layer.h: element 1');
    }
  });
});

describe('sign packing', () => {
  it('puts column 8c + j into bit j of byte c: 1 for negative, 0 for positive and zero', () => {
    const row = Float32Array.of(-1, 2, -3, 0, -0, 1, 1, -1e-40, 5, 5, 5, 5, 5, 5, 5, -5);
    expect(packSigns(row, 1, 16, 'w')).toEqual(Uint8Array.of(0b10000101, 0b10000000));
    expect(packSigns(row, 2, 8, 'w')).toEqual(Uint8Array.of(0b10000101, 0b10000000));
    expect([...unpackSigns(Uint8Array.of(0b00000110))]).toEqual([1, -1, -1, 1, 1, 1, 1, 1]);
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(packSigns(unpackSigns(bytes), 256, 8, 'w')).toEqual(bytes);
  });

  it('refuses a width that 8 does not divide, and NaN, naming the tensor', () => {
    expect(() => packSigns(new Float32Array(24), 2, 12, 'layers.0.q')).toThrow('layers.0.q has 12 inputs');
    const weights = new Float32Array(16).fill(1);
    weights[9] = NaN;
    expect(() => packSigns(weights, 2, 8, 'layers.0.q')).toThrow('layers.0.q: element 9 is NaN');
  });

  it('finds the first value that is not finite', () => {
    const values = new Float32Array(10_000).fill(3e38);
    expect(() => checkFinite(values, 'w')).not.toThrow();
    values[7777] = -Infinity;
    expect(() => checkFinite(values, 'w')).toThrow('w: element 7777 is -Infinity');
    values[5] = NaN;
    expect(() => checkFinite(values, 'w')).toThrow('w: element 5 is NaN');
  });
});
