import { dtypeBytes } from '../checkpoint/dtype.ts';
import { halfBits, widenFloats } from '../checkpoint/float-conversion.ts';
import { nativeAddon, type NativeAddon } from '../native/addon.ts';
import { OneBitError } from '../protocol/error.ts';
import { floatDtypeCodes, type FloatRows } from './float-rows.ts';

interface HalveAddon extends NativeAddon {
  /** Index of the first value that f16 cannot hold, or −1. */
  halve(values: Uint8Array, type: number, halves: Uint8Array): Promise<number>;
}

/**
 * Rounds stored floats to f16 (nearest, ties to even), off the main thread where the addon is built.
 * @param halves where they go: two bytes a value
 * @param place the tensor's name, and the number of its first value here: for the error
 * @throws bad-value for NaN, infinity, or a magnitude that rounds past 65504
 */
export async function halve(
  { bytes, dtype }: FloatRows,
  halves: Uint8Array,
  place: { name: string; first: number },
): Promise<void> {
  const addon = nativeAddon<HalveAddon>();
  if (addon !== undefined) {
    const bad = await addon.halve(bytes, floatDtypeCodes[dtype], halves);
    if (bad >= 0) throw refused(place, bad);
    return;
  }
  const values = new Float32Array(bytes.byteLength / dtypeBytes[dtype]);
  widenFloats(bytes, dtype, values);
  const view = new DataView(halves.buffer, halves.byteOffset, halves.byteLength);
  for (let i = 0; i < values.length; i++) {
    const half = halfBits(values[i] as number);
    if ((half & 0x7c00) === 0x7c00) throw refused(place, i);
    view.setUint16(2 * i, half, true);
  }
}

function refused(place: { name: string; first: number }, index: number): OneBitError {
  return new OneBitError(
    'bad-value',
    `${place.name}: element ${place.first + index} is not finite or passes 65504, the largest value of fp16: the checkpoint is damaged, or needs another precision.`,
  );
}
