import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint.ts';
import { elementCount } from '../checkpoint/dtype.ts';
import { projections } from '../checkpoint/model-config.ts';
import { OneBitError } from '../protocol/error.ts';

/**
 * The naive 1-bit model: every weight of the seven linears of a block becomes the nearer of ±s, with
 * s = mean |W| of its row (the s of least squares for given signs; XNOR-Net's). `Sign(0) = +1`, as in a
 * OneBit layer; there is no LayerNorm and no second vector. As a full-precision checkpoint, made when read.
 * @param source full precision; stays the caller's to close, after this one
 * @throws bad-request for a model that is 1-bit already
 */
export function roundToNearest(source: Checkpoint): Checkpoint {
  if (source.kind !== 'full') {
    throw new OneBitError(
      'bad-request',
      `${source.path} is a 1-bit model: round-to-nearest starts from a full-precision one.`,
    );
  }
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of source.tensors) {
    tensors.set(name, { ...info, dtype: 'F32', byteLength: 4 * (elementCount(info.shape) ?? 0) });
  }
  const readFloats = async (name: string, signal?: AbortSignal): Promise<Float32Array> => {
    const values = await source.readFloats(name, signal);
    const columns = source.tensors.get(name)?.shape[1];
    if (columns !== undefined && isProjection(name)) roundRows(values, columns);
    return values;
  };
  const readBytes = async (name: string, signal?: AbortSignal): Promise<Uint8Array> => {
    const values = await readFloats(name, signal);
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  };
  return {
    path: source.path,
    format: 'computed',
    kind: 'full',
    config: source.config,
    tensors,
    readFloats,
    readBytes,
    readInto: async (name, into, start = 0, signal) => {
      into.set((await readBytes(name, signal)).subarray(start, start + into.byteLength));
    },
    close: async () => {},
  };
}

function isProjection(name: string): boolean {
  return projections.some((projection) => name.endsWith(`.${projection}.weight`));
}

/** Each row, in place: mean |w| times the signs. */
function roundRows(weights: Float32Array, columns: number): void {
  for (let start = 0; start < weights.length; start += columns) {
    const row = weights.subarray(start, start + columns);
    let sum = 0;
    for (const weight of row) sum += Math.abs(weight);
    const scale = sum / columns;
    for (let i = 0; i < columns; i++) row[i] = (row[i] as number) < 0 ? -scale : scale;
  }
}
