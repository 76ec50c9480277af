import { OneBitError } from '../protocol/error.ts';
import type { TensorInfo } from './checkpoint.ts';
import type { DataFile } from './data-file.ts';
import { dtypeBytes, elementCount, isDtype } from './dtype.ts';

/** The format's own limit. */
const maxHeaderBytes = 100_000_000;
const maxDimensions = 8;

/**
 * Reads and checks the header of a safetensors file: an unsigned 64-bit length, that many bytes of JSON
 * `{name: {dtype, shape, data_offsets: [begin, end]}}`, then the data, which the tensors cover exactly
 * once without holes.
 * @returns the tensors in the order of their data
 * @throws bad-file naming file and tensor, unsupported for a dtype that we do not know
 */
export async function readSafetensorsHeader(file: DataFile, signal?: AbortSignal): Promise<TensorInfo[]> {
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
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(raw);
    header = JSON.parse(text);
  } catch (caught) {
    throw malformed(
      `the header is not valid JSON (${caught instanceof Error ? caught.message.slice(0, 120) : 'unknown'})`,
    );
  }
  if (!isObject(header)) throw malformed('the header is not a JSON object');
  const repeated = repeatedKey(text);
  if (repeated !== undefined) throw malformed(`the header names ${JSON.stringify(repeated)} twice`);

  const dataStart = 8 + headerBytes;
  const dataBytes = file.size - dataStart;
  const tensors: TensorInfo[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isObject(entry) || Object.values(entry).some((value) => typeof value !== 'string')) {
        throw malformed('__metadata__ is not a map from text to text');
      }
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
  return tensors;

  function checkEntry(name: string, entry: unknown): TensorInfo {
    const at = `tensor ${name.length > 200 ? `${name.slice(0, 200)}…` : name}`;
    if (!isObject(entry)) throw malformed(`${at} has no description`);
    const { dtype, shape, data_offsets: offsets } = entry;
    if (typeof dtype !== 'string') throw malformed(`${at} has no dtype`);
    if (!isDtype(dtype)) {
      throw new OneBitError(
        'unsupported',
        `${file.path}: ${at} has dtype ${dtype.slice(0, 40)}; ${Object.keys(dtypeBytes).join(', ')} can be read. Convert the checkpoint to F16.`,
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
    if (count === undefined || count * dtypeBytes[dtype] !== end - begin) {
      throw malformed(`${at} has ${end - begin} bytes, which do not fit ${dtype} ${describe(shape)}`);
    }
    return { name, dtype, shape, file: file.path, offset: dataStart + begin, byteLength: end - begin };
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

/**
 * The first key that stands twice in one object of valid JSON text. JSON.parse keeps the last silently,
 * so two readers could see two different tensors under one name.
 */
function repeatedKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[[\]{}]/gs;
  for (const [token, colon] of json.matchAll(tokens)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, -colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key) === true) return key;
      keys?.add(key);
    }
  }
  return undefined;
}
