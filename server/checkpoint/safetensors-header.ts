import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { Dtype, TensorInfo } from './checkpoint.ts';
import type { DataFile } from './data-file.ts';
import { dtypeBytes, elementCount } from './dtype.ts';
import { objectEntries } from './header-entries.ts';

/** The format's own limit. */
const maxHeaderBytes = 100_000_000;
const maxDimensions = 8;
/** Milliseconds of one stretch of work. */
const pauseEvery = 20;

/** A tensor as the header has it, with a dtype of those that are known to the caller. */
export type StoredTensor<D extends string> = Omit<TensorInfo, 'dtype'> & { dtype: D };

/** The header's tensors in the order of their data, of the dtypes that models have. @throws as `readSafetensors` */
export async function readSafetensorsHeader(file: DataFile, signal?: AbortSignal): Promise<TensorInfo[]> {
  return (await readSafetensors<Dtype>(file, dtypeBytes, signal)).tensors;
}

/**
 * Reads and checks the header of a safetensors file: an unsigned 64-bit length, that many bytes of JSON
 * `{name: {dtype, shape, data_offsets: [begin, end]}}`, then the data, which the tensors cover exactly
 * once without holes. `__metadata__` is a map from text to text beside them.
 * @param sizes bytes of an element, by dtype
 * @returns the tensors in the order of their data
 * @throws bad-file naming file and tensor, unsupported for a dtype that has no size
 */
export async function readSafetensors<D extends string>(
  file: DataFile,
  sizes: Readonly<Record<D, number>>,
  signal?: AbortSignal,
): Promise<{ tensors: StoredTensor<D>[]; metadata: Record<string, string> }> {
  const malformed = (what: string) =>
    new OneBitError(
      'bad-file',
      `${file.path}: ${what}. It is not a sound safetensors file; copy or download it again.`,
    );
  if (file.size < 8) throw malformed(`the file has ${file.size} bytes, too few for a header`);
  const prefix = new Uint8Array(8);
  await file.read(prefix, 0, signal);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw malformed(`the header claims ${length} bytes; the format allows ${maxHeaderBytes}`);
  }
  const headerBytes = Number(length);
  if (headerBytes > file.size - 8) {
    throw malformed(
      `the header claims ${headerBytes} bytes and the file ends after ${file.size - 8}: it was cut short`,
    );
  }
  const raw = new Uint8Array(headerBytes);
  await file.read(raw, 8, signal);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(raw);
  } catch {
    throw malformed('the header is not valid JSON: it is not UTF-8');
  }

  const dataStart = 8 + headerBytes;
  const dataBytes = file.size - dataStart;
  const tensors: StoredTensor<D>[] = [];
  let metadata: Record<string, string> = {};
  for await (const [name, entry] of paused(entries(), signal)) {
    if (name === '__metadata__') {
      if (!isObject(entry) || Object.values(entry).some((value) => typeof value !== 'string')) {
        throw malformed('__metadata__ is not a map from text to text');
      }
      metadata = entry as Record<string, string>;
      continue;
    }
    tensors.push(checkEntry(name, entry));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const { name, offset, byteLength } of tensors) {
    if (offset < end) throw malformed(`tensor ${name} overlaps the one before it`);
    if (offset > end) throw malformed(`${offset - end} bytes before tensor ${name} belong to no tensor`);
    end = offset + byteLength;
  }
  if (end !== file.size) throw malformed(`${file.size - end} bytes at the end belong to no tensor`);
  return { tensors, metadata };

  function* entries(): Generator<[string, unknown]> {
    try {
      yield* objectEntries(text);
    } catch (caught) {
      if (!(caught instanceof SyntaxError)) throw caught;
      throw malformed(
        caught.message.startsWith('the header')
          ? caught.message
          : `the header is not valid JSON (${caught.message.slice(0, 120)})`,
      );
    }
  }

  function checkEntry(name: string, entry: unknown): StoredTensor<D> {
    const at = `tensor ${name.length > 200 ? `${name.slice(0, 200)}…` : name}`;
    if (!isObject(entry)) throw malformed(`${at} has no description`);
    const { dtype, shape, data_offsets: offsets } = entry;
    if (typeof dtype !== 'string') throw malformed(`${at} has no dtype`);
    if (!Object.hasOwn(sizes, dtype)) {
      throw new OneBitError(
        'unsupported',
        `${file.path}: ${at} has dtype ${dtype.slice(0, 40)}; ${Object.keys(sizes).join(', ')} can be read. Convert the checkpoint to F16.`,
      );
    }
    if (!Array.isArray(shape) || shape.length > maxDimensions || !shape.every(isSize)) {
      throw malformed(`${at} has the shape ${describe(shape)}, which is not a list of sizes`);
    }
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
      throw malformed(`${at} has data_offsets ${describe(offsets)}, which are not two positions`);
    }
    const [begin, end] = offsets as [number, number];
    if (begin > end) throw malformed(`${at} ends (${end}) before it begins (${begin})`);
    if (end > dataBytes) {
      throw malformed(
        `${at} ends at byte ${end} of the data, which has ${dataBytes}: the file was cut short`,
      );
    }
    const count = elementCount(shape);
    if (count === undefined || count * sizes[dtype as D] !== end - begin) {
      throw malformed(`${at} has ${end - begin} bytes, which do not fit ${dtype} ${describe(shape)}`);
    }
    return {
      name,
      dtype: dtype as D,
      shape,
      file: file.path,
      offset: dataStart + begin,
      byteLength: end - begin,
    };
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function describe(value: unknown): string {
  return (JSON.stringify(value) ?? 'missing').slice(0, 80);
}

/** Lets others in between: a header may have a million entries. */
async function* paused<T>(values: Iterable<T>, signal?: AbortSignal): AsyncGenerator<T> {
  let since = performance.now();
  for (const value of values) {
    yield value;
    if (performance.now() - since < pauseEvery) continue;
    throwIfCancelled(signal);
    await new Promise((resolve) => setImmediate(resolve));
    since = performance.now();
  }
}
