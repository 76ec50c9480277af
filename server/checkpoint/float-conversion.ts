import type { FloatDtype } from './dtype.ts';
import { OneBitError } from '../protocol/error.ts';

const word = new Uint32Array(1);
const wordAsFloat = new Float32Array(word.buffer);

/** IEEE 754 binary16 bits to the bits of the same value in binary32. */
function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  let mantissa = half & 0x3ff;
  if (exponent === 0x1f) return (sign | 0x7f800000 | (mantissa << 13)) >>> 0;
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0;
  if (mantissa === 0) return sign >>> 0;
  // Subnormal: shift the leading one into place.
  let shift = 0;
  while ((mantissa & 0x400) === 0) {
    mantissa <<= 1;
    shift++;
  }
  return (sign | ((113 - shift) << 23) | ((mantissa & 0x3ff) << 13)) >>> 0;
}

let halfTable: Uint32Array | undefined;

/** All 65536 halves as f32 bits: 256 KB, which stays in the second-level cache while a tensor is converted. */
function halvesAsFloatBits(): Uint32Array {
  if (halfTable === undefined) {
    halfTable = new Uint32Array(65536);
    for (let half = 0; half < 65536; half++) halfTable[half] = widenHalf(half);
  }
  return halfTable;
}

/**
 * Converts little-endian floats to f32.
 * @param bytes a whole number of elements, at an offset that is a multiple of the element's size
 * @param into where the values go, from `start` on
 */
export function widenFloats(bytes: Uint8Array, dtype: FloatDtype, into: Float32Array, start = 0): void {
  if (dtype === 'F32') {
    new Uint8Array(into.buffer, into.byteOffset + 4 * start, bytes.byteLength).set(bytes);
    return;
  }
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 1);
  const bits = new Uint32Array(into.buffer, into.byteOffset + 4 * start, halves.length);
  if (dtype === 'BF16') {
    for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  } else {
    const table = halvesAsFloatBits();
    for (let i = 0; i < halves.length; i++) bits[i] = table[halves[i] as number] as number;
  }
}

/** The value of binary16 bits. */
export function halfValue(bits: number): number {
  word[0] = halvesAsFloatBits()[bits] as number;
  return wordAsFloat[0] as number;
}

/** One f32 to binary16 bits, rounded to nearest, ties to even; too large becomes infinity. */
export function halfBits(value: number): number {
  wordAsFloat[0] = value;
  const bits = word[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal half: a multiple of 2^-24, which this product makes exact before it is rounded.
    const units = Math.abs(value) * 16777216;
    const floor = Math.floor(units);
    const rest = units - floor;
    return sign | (rest > 0.5 || (rest === 0.5 && (floor & 1) === 1) ? floor + 1 : floor);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/**
 * f32 values as F16 bytes.
 * @throws bad-value if a value is not finite or passes 65504; `name` says of which tensor.
 */
export function floatsToHalfBytes(values: Float32Array, name: string): Uint8Array {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const half = halfBits(values[i] as number);
    if ((half & 0x7c00) === 0x7c00) {
      throw new OneBitError(
        'bad-value',
        `${name}: element ${i} is ${values[i]}, which fp16 cannot hold (its largest is 65504).`,
      );
    }
    halves[i] = half;
  }
  return new Uint8Array(halves.buffer);
}

/** f32 values as F32 bytes (a view, not a copy). */
export function floatsToBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
