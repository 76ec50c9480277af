import { OneBitError } from '../protocol/error.ts';

/** Bytes of a packed row; `in` must be a multiple of 8. @throws bad-value naming the tensor */
export function packedRowBytes(inner: number, name: string): number {
  if (inner % 8 !== 0) {
    throw new OneBitError(
      'bad-value',
      `${name} has ${inner} inputs, which 8 does not divide: its signs cannot be packed, and the model cannot become 1-bit.`,
    );
  }
  return inner / 8;
}

/**
 * The signs of a matrix, as in the authors' inference checkpoints (METHOD.md): byte c, bit j (least
 * significant first) of a row is column 8c + j; 1 = −1, 0 = +1; a zero counts as +1.
 * @param weights `[out, in]`
 * @returns `[out, in/8]`
 * @throws bad-value for NaN, or an `in` that 8 does not divide
 */
export function packSigns(weights: Float32Array, out: number, inner: number, name: string): Uint8Array {
  const packed = new Uint8Array(out * packedRowBytes(inner, name));
  for (let byte = 0, i = 0; byte < packed.length; byte++) {
    let bits = 0;
    for (let j = 0; j < 8; j++, i++) {
      const weight = weights[i] as number;
      if (weight < 0) bits |= 1 << j;
      else if (Number.isNaN(weight)) throw notFinite(weight, i, name);
    }
    packed[byte] = bits;
  }
  return packed;
}

/** The signs as ±1, `[out, in]`; the inverse of `packSigns` but for zeros. */
export function unpackSigns(packed: Uint8Array): Float32Array {
  const signs = new Float32Array(8 * packed.length);
  for (let byte = 0, i = 0; byte < packed.length; byte++) {
    for (let j = 0, bits = packed[byte] as number; j < 8; j++, i++) {
      signs[i] = (bits >> j) & 1 ? -1 : 1;
    }
  }
  return signs;
}

/** Bits set in a byte. */
export const bitCount = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
});

/** @throws bad-value naming the tensor and the first element that is NaN or infinite */
export function checkFinite(values: Float32Array, name: string): void {
  // x − x is 0 for finite values only, and one sum over a block is cheaper than a test each.
  const block = 4096;
  for (let start = 0; start < values.length; start += block) {
    const end = Math.min(start + block, values.length);
    let sum = 0;
    for (let i = start; i < end; i++) sum += (values[i] as number) - (values[i] as number);
    if (sum === 0) continue;
    for (let i = start; i < end; i++) {
      if (!Number.isFinite(values[i])) throw notFinite(values[i] as number, i, name);
    }
  }
}

function notFinite(value: number, index: number, name: string): OneBitError {
  return new OneBitError(
    'bad-value',
    `${name}: element ${index} is ${value}: the checkpoint is damaged; copy or download it again.`,
  );
}
