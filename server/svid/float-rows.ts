import { dtypeBytes, type FloatDtype } from '../checkpoint/dtype.ts';
import { widenFloats } from '../checkpoint/float-conversion.ts';

/** A float matrix as a checkpoint stores it: little-endian, row-major. */
export interface FloatRows {
  bytes: Uint8Array;
  dtype: FloatDtype;
}

/** The numbers that the addon knows the dtypes by (rank_one_kernels.h). */
export const floatDtypeCodes: Readonly<Record<FloatDtype, number>> = { F32: 0, F16: 1, BF16: 2 };

/** Widens rows `[first, last)` of a matrix to f32 into `out`. */
export function widenRows(
  { bytes, dtype }: FloatRows,
  columns: number,
  first: number,
  last: number,
  out: Float32Array,
): void {
  const stride = columns * dtypeBytes[dtype];
  const part = bytes.subarray(first * stride, last * stride);
  // The conversion looks at the bytes as 16-bit words, which must start at an even address.
  widenFloats(part.byteOffset % 4 === 0 ? part : part.slice(), dtype, out);
}
