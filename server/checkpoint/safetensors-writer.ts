import { open, type FileHandle } from 'node:fs/promises';
import { asOneBitError, OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { TensorSource } from './checkpoint.ts';
import { dtypeBytes, elementCount } from './dtype.ts';

/** Data and large tensors begin at multiples of this, so that a mapped file can be read with aligned loads. */
const alignment = 64;

export function sourceBytes(tensor: TensorSource): number {
  const count = elementCount(tensor.shape);
  if (count === undefined) throw new OneBitError('bad-value', `Tensor ${tensor.name} is too large.`);
  return count * dtypeBytes[tensor.dtype];
}

/**
 * Writes one safetensors file and syncs it to the disk. Tensors are asked for one by one in the order
 * given, so only one is in memory.
 *
 * They may lie in another order: sorted by the power of two that divides their length, each begins at a
 * multiple of that power without the holes that the format forbids. In a model of usual size this puts
 * every matrix on a multiple of 64.
 * @throws no-space, cancelled, or what a source throws; the file is then incomplete: remove it
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  options: {
    metadata?: Record<string, string>;
    signal?: AbortSignal;
    onTensor?: (tensor: TensorSource, bytes: number) => void;
  } = {},
): Promise<void> {
  const { header, offsets } = layOut(tensors, options.metadata ?? { format: 'pt' });
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'wx');
    await writeAll(file, header, 0);
    for (const tensor of tensors) {
      throwIfCancelled(options.signal);
      const bytes = await tensor.bytes(options.signal);
      const expected = sourceBytes(tensor);
      if (bytes.byteLength !== expected) {
        throw new OneBitError(
          'internal',
          `Tensor ${tensor.name}: ${bytes.byteLength} bytes were made where ${expected} belong.`,
        );
      }
      await writeAll(file, bytes, header.byteLength + (offsets.get(tensor.name) as number), options.signal);
      options.onTensor?.(tensor, expected);
    }
    await file.sync();
  } catch (caught) {
    throw asOneBitError(caught, path);
  } finally {
    await file?.close();
  }
}

function layOut(tensors: readonly TensorSource[], metadata: Record<string, string>) {
  const divisor = (tensor: TensorSource) => {
    const bytes = sourceBytes(tensor);
    let power = alignment;
    while (bytes % power !== 0) power /= 2;
    return power;
  };
  const offsets = new Map<string, number>();
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  let end = 0;
  for (const tensor of [...tensors].sort((a, b) => divisor(b) - divisor(a))) {
    if (offsets.has(tensor.name) || tensor.name === '__metadata__') {
      throw new OneBitError('internal', `Tensor ${tensor.name} would be written twice.`);
    }
    const begin = end;
    end += sourceBytes(tensor);
    offsets.set(tensor.name, begin);
    entries.push([tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] }]);
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const header = new Uint8Array(Math.ceil((8 + json.byteLength) / alignment) * alignment).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - 8), true);
  header.set(json, 8);
  return { header, offsets };
}

/** Writes in parts, so that an abort takes effect within one. */
async function writeAll(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
  signal?: AbortSignal,
): Promise<void> {
  const part = 16 << 20;
  for (let done = 0; done < bytes.byteLength;) {
    throwIfCancelled(signal);
    const length = Math.min(part, bytes.byteLength - done);
    done += (await file.write(bytes, done, length, position + done)).bytesWritten;
  }
}
