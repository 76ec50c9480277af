import { describe, expect, it } from 'vitest';
import { nativeFailure } from '../../../server/native/addon.ts';
import type { FloatRows } from '../../../server/svid/float-rows.ts';
import { svid } from '../../../server/svid/svid.ts';
import { normal, uniform } from '../../reference/random.ts';
import { leadingSingularTriple } from '../../reference/singular-pair.ts';

const paths = nativeFailure() === undefined ? (['native', 'portable'] as const) : (['portable'] as const);

/** Weights like a trained layer's: normal, with rows and columns of different strength. */
function layerLike(rows: number, columns: number, seed: number, spread = 0.3): Float32Array {
  const next = normal(seed);
  const strong = Array.from({ length: columns }, () => Math.exp(spread * next()));
  const out = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const row = 0.02 * Math.exp(spread * next());
    for (let j = 0; j < columns; j++) out[i * columns + j] = row * (strong[j] as number) * next();
  }
  return out;
}

function rawBytes(values: Float32Array | Uint8Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Keeps the upper half of each f32 (truncation): exact values of bf16. */
function asBf16(values: Float32Array): { rows: FloatRows; exact: Float32Array } {
  const words = new Uint32Array(values.buffer.slice(0));
  const halves = Uint16Array.from(words, (word) => word >>> 16);
  const exact = new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  return { rows: { bytes: new Uint8Array(halves.buffer), dtype: 'BF16' }, exact };
}

/** Random normal halves by bit pattern; their values by the definition of binary16. */
function randomHalves(count: number, seed: number): { rows: FloatRows; exact: Float32Array } {
  const next = uniform(seed);
  const halves = new Uint16Array(count);
  const exact = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const sign = next() < 0.5 ? 0 : 1;
    const exponent = Math.floor(next() * 8); // 0 is subnormal
    const fraction = Math.floor(next() * 1024);
    halves[i] = (sign << 15) | (exponent << 10) | fraction;
    const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
    exact[i] = sign === 1 ? -magnitude : magnitude;
  }
  return { rows: { bytes: new Uint8Array(halves.buffer), dtype: 'F16' }, exact };
}

/** Largest difference between h gᵀ and σ u vᵀ, relative to its own entry; and the plain relative error. */
function compare(weight: Float32Array, rows: number, columns: number, g: Float32Array, h: Float32Array) {
  const { u, sigma, v } = leadingSingularTriple(weight.map(Math.abs), rows, columns);
  let worst = 0;
  let error = 0;
  let total = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const want = sigma * (u[i] as number) * (v[j] as number);
      const got = (h[i] as number) * (g[j] as number);
      worst = Math.max(worst, Math.abs(got - want) / want);
      const w = weight[i * columns + j] as number;
      error += (Math.abs(w) - want) ** 2;
      total += w ** 2;
    }
  }
  return { worst, relativeError: Math.sqrt(error / total) };
}

function rootMeanSquare(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
}

describe.each(paths)('svid, %s path', (path) => {
  it.each([
    [64, 64],
    [96, 40],
    [40, 96],
    [7, 24],
    [130, 72],
    [33, 21], // tails of rows and of bytes
    [1, 8],
    [9, 1],
  ])('equals the leading singular pair of |W| to 1e-4: %i × %i', async (rows, columns) => {
    const weight = layerLike(rows, columns, rows * 1000 + columns);
    const { g, h, relativeError } = await svid(weight, rows, columns, { path });
    const reference = compare(weight, rows, columns, g, h);
    expect(reference.worst).toBeLessThan(1e-4);
    expect(Math.abs(relativeError - reference.relativeError)).toBeLessThan(1e-6);
    expect(rootMeanSquare(g) / rootMeanSquare(h)).toBeCloseTo(1, 5);
  });

  it('still converges when the second singular value is close to the first', async () => {
    // Two nearly separate blocks of nearly equal strength: (σ₂/σ₁)² is about 0.98.
    const [rows, columns] = [48, 48];
    const next = normal(5);
    const weight = Float32Array.from({ length: rows * columns }, (_, at) => {
      const [i, j] = [Math.floor(at / columns), at % columns];
      const strength = i < 24 && j < 24 ? 1 : i >= 24 && j >= 24 ? 0.985 : 0.0005;
      return strength * (next() < 0 ? -1 : 1) * (1 + 0.05 * next());
    });
    const { g, h, iterations } = await svid(weight, rows, columns, { path });
    expect(iterations).toBeGreaterThan(10);
    expect(compare(weight, rows, columns, g, h).worst).toBeLessThan(1e-3);
  });

  it('reads bf16 and f16 rows as they are stored, from an odd place in memory too', async () => {
    for (const { rows: stored, exact } of [asBf16(layerLike(24, 40, 3)), randomHalves(24 * 40, 4)]) {
      const shifted = new Uint8Array(stored.bytes.byteLength + 2).subarray(2);
      shifted.set(stored.bytes);
      const want = await svid(exact, 24, 40, { path });
      const got = await svid({ bytes: shifted, dtype: stored.dtype }, 24, 40, { path });
      expect(got).toEqual(want);
      expect(compare(exact, 24, 40, got.g, got.h).worst).toBeLessThan(1e-4);
    }
  });

  it('packs signs least significant bit first, 1 for negative, zero as +1', async () => {
    const weight = new Float32Array(2 * 24).fill(1);
    for (const j of [0, 3, 9, 23]) weight[j] = -0.5;
    weight[1] = -0;
    weight[2] = 0;
    for (let j = 0; j < 24; j++) weight[24 + j] = j < 16 ? -1 : 1;
    const { signs } = await svid(weight, 2, 24, { path });
    expect([...signs]).toEqual([0b1001, 0b10, 0b10000000, 0xff, 0xff, 0]);
  });

  it('is exact where |W| has rank 1, and gives zeros for a matrix of zeros', async () => {
    const weight = new Float32Array(40 * 16);
    for (let at = 0; at < weight.length; at++) {
      weight[at] = (1 + Math.floor(at / 16)) * (1 + (at % 16)) * (at % 3 === 0 ? -1 : 1);
    }
    expect((await svid(weight, 40, 16, { path })).relativeError).toBeLessThan(1e-6);
    const zeros = await svid(new Float32Array(40 * 16), 40, 16, { path });
    expect(zeros.relativeError).toBe(0);
    expect([...zeros.g, ...zeros.h, ...zeros.signs].every((x) => x === 0)).toBe(true);
  });

  it.each([1e-30, 1e30])('does not lose or overflow weights of size %f', async (size) => {
    const weight = layerLike(40, 48, 11).map((x) => x * 50 * size);
    const { g, h, relativeError } = await svid(weight, 40, 48, { path });
    const reference = compare(weight, 40, 48, g, h);
    expect(reference.worst).toBeLessThan(1e-4);
    expect(relativeError).toBeCloseTo(reference.relativeError, 5);
  });

  it.each([Number.NaN, Infinity, -Infinity])('refuses %f and says where it stands', async (bad) => {
    const weight = layerLike(200, 24, 2);
    weight[137 * 24 + 21] = bad;
    await expect(svid(weight, 200, 24, { path, name: 'model.layers.3.mlp.up_proj.weight' })).rejects.toThrow(
      expect.objectContaining({
        code: 'bad-value',
        message: expect.stringMatching(/model\.layers\.3\.mlp\.up_proj\.weight .*row 137, column 21/),
      }),
    );
  });

  it('refuses a buffer of the wrong size, and stops when it is cancelled', async () => {
    await expect(svid(new Float32Array(10), 2, 8, { path })).rejects.toMatchObject({ code: 'bad-value' });
    const controller = new AbortController();
    const pending = svid(layerLike(600, 512, 1), 600, 512, {
      path,
      tolerance: 0,
      maxIterations: 1e6,
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(), 20);
    await expect(pending).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe.runIf(paths.length > 1)('svid, native path', () => {
  it('agrees with the portable path on a matrix that takes many threads, and with itself bit for bit', async () => {
    const [rows, columns] = [2050, 1040];
    const weight = layerLike(rows, columns, 21);
    const native = await svid(weight, rows, columns, { path: 'native' });
    const portable = await svid(weight, rows, columns, { path: 'portable' });
    expect(Buffer.compare(native.signs, portable.signs)).toBe(0);
    expect(native.relativeError).toBeCloseTo(portable.relativeError, 6);
    for (const [mine, plain] of [
      [native.g, portable.g],
      [native.h, portable.h],
    ] as const) {
      for (let i = 0; i < mine.length; i++) {
        expect(Math.abs((mine[i] as number) / (plain[i] as number) - 1)).toBeLessThan(3e-6);
      }
    }
    const again = await Promise.all(
      [1, 2, 3].map(() => svid({ bytes: rawBytes(weight), dtype: 'F32' }, rows, columns)),
    );
    for (const factors of again) {
      expect([factors.relativeError, factors.iterations]).toEqual([native.relativeError, native.iterations]);
      for (const part of ['g', 'h', 'signs'] as const) {
        expect(Buffer.compare(rawBytes(factors[part]), rawBytes(native[part])), part).toBe(0);
      }
    }
  });
});
