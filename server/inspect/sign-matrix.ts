import { bitCount } from '../checkpoint/sign-packing.ts';
import { inspectAddon } from './inspect-addon.ts';

/** A packed sign matrix: `[rows, columns / 8]` bytes, least significant bit first, bit 1 = −1. */
export interface SignMatrix {
  rows: number;
  /** A multiple of 8. */
  columns: number;
  bytes: Uint8Array;
}

/** How many signs of each row and of each column are −1. */
export interface NegativeCounts {
  rows: Uint32Array;
  columns: Uint32Array;
}

/** Counts the −1 of every row and column. */
export async function countNegative(signs: SignMatrix): Promise<NegativeCounts> {
  const { rows, columns, bytes } = signs;
  return (await inspectAddon()?.inspectCount(bytes, rows, columns)) ?? countPortably(signs);
}

function countPortably({ rows, columns, bytes }: SignMatrix): NegativeCounts {
  const stride = columns / 8;
  const byRow = new Uint32Array(rows);
  const byColumn = new Uint32Array(columns);
  for (let i = 0; i < rows; i++) {
    let count = 0;
    for (let c = 0; c < stride; c++) {
      const byte = bytes[i * stride + c] as number;
      if (byte === 0) continue;
      count += bitCount[byte] as number;
      for (let j = 0; j < 8; j++) {
        byColumn[8 * c + j] = (byColumn[8 * c + j] as number) + ((byte >> j) & 1);
      }
    }
    byRow[i] = count;
  }
  return { rows: byRow, columns: byColumn };
}

/** How many signs of two matrices of the same shape differ. */
export function countDifferent(a: Uint8Array, b: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < a.length; i++) count += bitCount[(a[i] as number) ^ (b[i] as number)] as number;
  return count;
}
