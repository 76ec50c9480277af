import { packedRowBytes, packSigns } from '../checkpoint/sign-packing.ts';
import { OneBitError } from '../protocol/error.ts';
import { floatDtypeCodes, widenRows, type FloatRows } from '../svid/float-rows.ts';
import { inspectAddon } from './inspect-addon.ts';
import type { SignMatrix } from './sign-matrix.ts';

/** Latent weights under this part of their root mean square are near zero: an update may turn their sign. */
export const nearZero = 0.05;

/** The signs of a matrix of float weights, and the share of weights that are near zero. */
export interface LatentSigns {
  signs: SignMatrix;
  nearZeroShare: number;
}

/** @throws bad-value for NaN, or columns that 8 does not divide */
export async function latentSigns(
  weights: FloatRows,
  rows: number,
  columns: number,
  name: string,
): Promise<LatentSigns> {
  packedRowBytes(columns, name);
  const code = floatDtypeCodes[weights.dtype];
  const found = await inspectAddon()?.inspectLatent(weights.bytes, code, rows, columns, nearZero);
  if (found === undefined) return packPortably(weights, rows, columns, name);
  if (!Number.isFinite(found.squares)) {
    throw new OneBitError(
      'bad-value',
      `${name} has a NaN or infinity among its latent weights: the checkpoint is damaged or its training diverged.`,
    );
  }
  return {
    signs: { rows, columns, bytes: found.signs },
    nearZeroShare: found.nearZero / (rows * columns),
  };
}

function packPortably(weights: FloatRows, rows: number, columns: number, name: string): LatentSigns {
  const bytes = new Uint8Array((rows * columns) / 8);
  const row = new Float32Array(columns);
  let squares = 0;
  for (let i = 0; i < rows; i++) {
    widenRows(weights, columns, i, i + 1, row);
    bytes.set(packSigns(row, 1, columns, name), (i * columns) / 8);
    for (const weight of row) squares += weight * weight;
  }
  const limit = nearZero * Math.sqrt(squares / (rows * columns));
  let near = 0;
  for (let i = 0; i < rows; i++) {
    widenRows(weights, columns, i, i + 1, row);
    for (const weight of row) if (Math.abs(weight) < limit) near++;
  }
  return { signs: { rows, columns, bytes }, nearZeroShare: near / (rows * columns) };
}
