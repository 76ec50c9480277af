import { nativeAddon, type NativeAddon } from '../native/addon.ts';
import { dtypeBytes } from '../checkpoint/dtype.ts';
import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import { floatDtypeCodes, type FloatRows } from './float-rows.ts';
import { factorPortably } from './power-iteration.ts';

export interface SvidOptions {
  /** The tensor's name, for error messages. */
  name?: string;
  /**
   * Distance that g's direction may have from the singular vector's; 1e-6 by default, which f32
   * arithmetic reaches when the leading singular value of |W| stands clear of the second.
   */
  tolerance?: number;
  /** Passes over the matrix; 1000 by default. A weight matrix takes two or three. */
  maxIterations?: number;
  signal?: AbortSignal;
  /** 'portable' is the TypeScript path; default: native where it is built. */
  path?: 'auto' | 'native' | 'portable';
}

/**
 * W ≈ S ⊙ (h gᵀ), with h gᵀ the leading singular triple of |W|. The scale is split so that g and h
 * have the same root mean square: any split gives the same product, and this one keeps both well
 * inside f16's range.
 */
export interface SvidFactors {
  /** Input values, `[columns]`. */
  g: Float32Array;
  /** Output values, `[rows]`. */
  h: Float32Array;
  /** `[rows, ceil(columns / 8)]`, least significant bit first, bit 1 = −1; zero packs as +1. */
  signs: Uint8Array;
  /** ‖W − S ⊙ (h gᵀ)‖ / ‖W‖, Frobenius; 0 for a matrix of zeros. */
  relativeError: number;
  /** Passes over the matrix. */
  iterations: number;
}

interface NativeFactors extends SvidFactors {
  status: 'done' | 'stopped' | 'not-finite';
  badRow: number;
  badColumn: number;
}

interface SvidAddon extends NativeAddon {
  svid(
    weights: Uint8Array,
    type: number,
    rows: number,
    columns: number,
    tolerance: number,
    maxIterations: number,
    stop: Int32Array,
  ): Promise<NativeFactors>;
}

/**
 * Sign-value-independent decomposition of one matrix (METHOD.md, SVID): the rank-1 factor of |W| by
 * power iteration, reading the stored floats directly and never making a second matrix. The native
 * kernels run off the main thread; the result does not depend on the number of threads.
 * @param weight `[rows, columns]` row-major: f32, or the bytes of a stored tensor
 * @throws bad-value for a NaN or infinity (the message names the tensor and the place), cancelled,
 *   native-missing when `path` asks for an addon that is not built
 */
export async function svid(
  weight: Float32Array | FloatRows,
  rows: number,
  columns: number,
  options: SvidOptions = {},
): Promise<SvidFactors> {
  const { name = 'weight', tolerance = 1e-6, maxIterations = 1000, signal, path = 'auto' } = options;
  const matrix: FloatRows =
    weight instanceof Float32Array
      ? { bytes: new Uint8Array(weight.buffer, weight.byteOffset, weight.byteLength), dtype: 'F32' }
      : weight;
  if (rows < 1 || columns < 1 || matrix.bytes.byteLength !== rows * columns * dtypeBytes[matrix.dtype]) {
    throw new OneBitError(
      'bad-value',
      `${name}: ${matrix.bytes.byteLength} bytes are not a ${rows} × ${columns} matrix of ${matrix.dtype}.`,
    );
  }
  throwIfCancelled(signal);
  const addon = path === 'portable' ? undefined : nativeAddon<SvidAddon>();
  if (addon === undefined && path === 'native') {
    throw new OneBitError('native-missing', 'The native kernels are not built: npm run build:native.');
  }
  const factors =
    addon === undefined
      ? await factorPortably(matrix, rows, columns, { tolerance, maxIterations, signal })
      : await factorNatively(addon, matrix, rows, columns, { tolerance, maxIterations, signal });
  if (factors.notFinite !== undefined) {
    const { row, column } = factors.notFinite;
    throw new OneBitError(
      'bad-value',
      `${name} has a NaN or infinity at row ${row}, column ${column}: the checkpoint is damaged or its training diverged; use an intact one.`,
    );
  }
  return factors.result;
}

/** What a path gives back: the factors, or the place of a weight that is no number. */
export type FactorOutcome =
  { result: SvidFactors; notFinite?: undefined } | { notFinite: { row: number; column: number } };

async function factorNatively(
  addon: SvidAddon,
  { bytes, dtype }: FloatRows,
  rows: number,
  columns: number,
  options: { tolerance: number; maxIterations: number; signal?: AbortSignal },
): Promise<FactorOutcome> {
  const stop = new Int32Array(1);
  const onAbort = () => {
    stop[0] = 1;
  };
  options.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const { tolerance, maxIterations } = options;
    const code = floatDtypeCodes[dtype];
    const found = await addon.svid(bytes, code, rows, columns, tolerance, maxIterations, stop);
    if (found.status === 'stopped') throw new OneBitError('cancelled', 'Cancelled.');
    if (found.status === 'not-finite') return { notFinite: { row: found.badRow, column: found.badColumn } };
    const { g, h, signs, relativeError, iterations } = found;
    return { result: { g, h, signs, relativeError, iterations } };
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
  }
}
