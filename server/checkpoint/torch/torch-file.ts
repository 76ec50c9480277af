import { OneBitError } from '../../protocol/error.ts';
import type { TensorInfo } from '../checkpoint.ts';
import type { DataFile } from '../data-file.ts';
import { dtypeBytes, elementCount } from '../dtype.ts';
import { readTorchPickle, type TorchTensor } from './pickle.ts';
import { entryOffset, readZipDirectory, type ZipEntry } from './zip-directory.ts';

const mostPickleBytes = 64 << 20;
const mostTensors = 100_000;

/** Whether a file begins as PyTorch's do: a ZIP archive, or (before 1.6) a bare pickle. */
export async function looksLikeTorch(file: DataFile, signal?: AbortSignal): Promise<boolean> {
  if (file.size < 4) return false;
  const start = new Uint8Array(4);
  await file.read(start, 0, signal);
  return isZip(start) || (start[0] === 0x80 && (start[1] ?? 0) <= 5);
}

const isZip = ([a, b, c, d]: Uint8Array) => a === 0x50 && b === 0x4b && c === 3 && d === 4;

/**
 * The tensors of a PyTorch file (torch.save of a state dict, PyTorch 1.6 or later): a ZIP archive with data.pkl, which
 * describes them, and their numbers in data/0, data/1 …, not compressed. Nothing of the pickle is run.
 * @throws bad-file, unsupported (an older file, other contents, a tensor that is a transposed or strided view)
 */
export async function readTorchFile(file: DataFile, signal?: AbortSignal): Promise<TensorInfo[]> {
  const { path } = file;
  const start = new Uint8Array(Math.min(4, file.size));
  await file.read(start, 0, signal);
  if (!isZip(start)) {
    throw new OneBitError(
      'unsupported',
      `${path} is a PyTorch file of before version 1.6, or none: load it with PyTorch and save its state_dict again, or convert it to safetensors.`,
    );
  }
  const entries = await readZipDirectory(file, signal);
  const pickle = [...entries.values()].find(({ name }) => name === 'data.pkl' || name.endsWith('/data.pkl'));
  if (pickle === undefined)
    throw new OneBitError('bad-file', `${path} has no data.pkl: it is no PyTorch file.`);
  if (pickle.size > mostPickleBytes) {
    throw new OneBitError(
      'bad-file',
      `${path}: data.pkl has ${pickle.size} bytes, too many for a model's description.`,
    );
  }
  const root = pickle.name.slice(0, -'data.pkl'.length);
  await requireLittleEndian(file, entries.get(`${root}byteorder`), signal);
  const bytes = new Uint8Array(pickle.size);
  await file.read(bytes, await entryOffset(file, pickle, signal), signal);
  const described = readTorchPickle(bytes, path);
  if (described.size > mostTensors) {
    throw new OneBitError('bad-file', `${path} names ${described.size} tensors: it is no language model.`);
  }
  const tensors: TensorInfo[] = [];
  const offsets = new Map<string, number>();
  for (const [name, tensor] of described) {
    const entry = entries.get(`${root}data/${tensor.storage.key}`);
    const info = shaped(name, tensor, entry, path);
    const { key } = tensor.storage;
    // Tied weights share their data.
    const start = offsets.get(key) ?? (entry === undefined ? 0 : await entryOffset(file, entry, signal));
    offsets.set(key, start);
    tensors.push({ ...info, offset: start + info.offset });
  }
  return tensors;
}

async function requireLittleEndian(
  file: DataFile,
  entry: ZipEntry | undefined,
  signal?: AbortSignal,
): Promise<void> {
  if (entry === undefined) return;
  const bytes = new Uint8Array(Math.min(entry.size, 16));
  await file.read(bytes, await entryOffset(file, entry, signal), signal);
  const order = new TextDecoder().decode(bytes).trim();
  if (order !== 'little') {
    throw new OneBitError(
      'unsupported',
      `${file.path} has the byte order ${JSON.stringify(order)}: save it on a little-endian machine.`,
    );
  }
}

/** The tensor's range in its data. */
function shaped(
  name: string,
  { storage, offset, shape, strides }: TorchTensor,
  entry: ZipEntry | undefined,
  file: string,
): TensorInfo {
  const at = `${file}: tensor ${name.slice(0, 200)}`;
  if (entry === undefined)
    throw new OneBitError('bad-file', `${at} has no data (${storage.key.slice(0, 40)}) in the archive.`);
  const count = elementCount(shape);
  const size = dtypeBytes[storage.dtype];
  if (count === undefined || (offset + count) * size > entry.size) {
    throw new OneBitError(
      'bad-file',
      `${at} has the shape [${shape.join(', ')}] and more elements than its data holds.`,
    );
  }
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== stride) {
      throw new OneBitError(
        'unsupported',
        `${at} is a view that is not contiguous (strides ${strides.join(', ')}): call .contiguous() before saving, or convert the model to safetensors.`,
      );
    }
    stride *= shape[i] ?? 1;
  }
  return { name, dtype: storage.dtype, shape, file, offset: offset * size, byteLength: count * size };
}
