import { describe, expect, it, vi } from 'vitest';
import { halve } from '../../../server/svid/half.ts';
import { halfValue } from '../../reference/plain-safetensors.ts';

/** Every value half-way between two neighbouring halves and a little to each side, and the halves themselves. */
function probes(): Float32Array {
  const values: number[] = [];
  for (let bits = 0; bits < 0x7bff; bits += 7) {
    const [low, high] = [halfValue(bits), halfValue(bits + 1)];
    const middle = (low + high) / 2;
    for (const x of [low, middle, middle * (1 - 2 ** -20), middle * (1 + 2 ** -20)]) values.push(x, -x);
  }
  values.push(65504, 65519.99, -65504, 0, -0);
  return Float32Array.from(values);
}

/** Nearest half by looking at the neighbours, ties to the even pattern. */
function nearest(value: number): number {
  let [low, high] = [0, 0x7bff];
  const size = Math.abs(value);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (halfValue(middle) <= size) low = middle;
    else high = middle;
  }
  const below = size - halfValue(low);
  const above = halfValue(high) - size;
  const bits = below < above || (below === above && low % 2 === 0) ? low : high;
  return (value < 0 || Object.is(value, -0) ? 0x8000 : 0) | bits;
}

describe.each(['native', 'portable'])('halve, %s', (path) => {
  it('rounds to the nearest half, ties to even, and names what fp16 cannot hold', async () => {
    vi.resetModules();
    vi.stubEnv('ONEBIT_NATIVE', path === 'portable' ? 'off' : '');
    const fresh = await import('../../../server/svid/half.ts');
    vi.unstubAllEnvs();
    const values = probes();
    const bytes = new Uint8Array(values.buffer);
    const halves = new Uint16Array(values.length);
    const target = new Uint8Array(halves.buffer);
    await fresh.halve({ bytes, dtype: 'F32' }, target, { name: 'x', first: 0 });
    const wrong = Array.from(values, (value, i) => [value, halves[i], nearest(value)] as const).filter(
      ([, got, want]) => got !== want,
    );
    expect(wrong).toEqual([]);

    for (const bad of [65520, -1e9, Infinity, Number.NaN]) {
      const some = new Float32Array(100).fill(1);
      some[77] = bad;
      const into = new Uint8Array(200);
      await expect(
        fresh.halve({ bytes: new Uint8Array(some.buffer), dtype: 'F32' }, into, {
          name: 'lm_head',
          first: 1000,
        }),
      ).rejects.toMatchObject({
        code: 'bad-value',
        message: expect.stringContaining('lm_head: element 1077 '),
      });
    }
  });
});

it('keeps halves as they are and rounds bf16', async () => {
  const halves = Uint16Array.from({ length: 40 }, (_, i) => i * 777);
  const kept = new Uint8Array(80);
  await halve({ bytes: new Uint8Array(halves.buffer), dtype: 'F16' }, kept, { name: 'x', first: 0 });
  expect(new Uint16Array(kept.buffer)).toEqual(halves);

  // bf16 patterns of 1, −1.5, 2⁻²⁴ (the smallest half) and 2⁻²⁶ (nothing).
  const words = Uint16Array.from([0x3f80, 0xbfc0, 0x3380, 0x3280]);
  const out = new Uint8Array(8);
  await halve({ bytes: new Uint8Array(words.buffer), dtype: 'BF16' }, out, { name: 'x', first: 0 });
  expect([...new Uint16Array(out.buffer)]).toEqual([0x3c00, 0xbe00, 1, 0]);
});
