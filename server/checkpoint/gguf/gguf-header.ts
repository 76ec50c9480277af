import { OneBitError } from '../../protocol/error.ts';
import type { DataFile } from '../data-file.ts';
import { elementCount } from '../dtype.ts';
import { ggmlTypes, type GgmlType } from './ggml-types.ts';

/** A value of the metadata; 64-bit numbers beyond what a number holds exactly are rounded. */
export type GgufValue = number | boolean | string | GgufValue[];

export interface GgufTensor {
  name: string;
  type: GgmlType;
  /** Row-major, as Hugging Face counts: the innermost dimension last. */
  shape: number[];
  /** Range in the file. */
  offset: number;
  byteLength: number;
}

export interface GgufHeader {
  version: number;
  metadata: Map<string, GgufValue>;
  /** In the order of the file. */
  tensors: GgufTensor[];
}

/** Far above any model; what a file claims beyond it is not believed. */
const most = { headerBytes: 256 << 20, tensors: 100_000, keys: 10_000, elements: 4_000_000, dimensions: 4 };
const firstRead = 1 << 20;
const numberBytes: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const stringKind = 8;
const arrayKind = 9;

/** The header goes on behind the bytes that were read. */
class NeedsMore extends Error {}

/**
 * Reads and checks the header of a GGUF file, version 2 or 3 (the format's specification in ggml, docs/gguf.md): metadata,
 * then each tensor's name, dimensions (innermost first), type and offset from the aligned end of the header. Nothing is
 * reserved by what the file claims: lists grow with the bytes that are there.
 * @throws bad-file naming file and cause, unsupported (version 1, big-endian, a type that ggml does not have)
 */
export async function readGgufHeader(file: DataFile, signal?: AbortSignal): Promise<GgufHeader> {
  let bytes = new Uint8Array(0);
  for (let wanted = firstRead; ; wanted *= 4) {
    const length = Math.min(wanted, file.size, most.headerBytes);
    const longer = new Uint8Array(length);
    longer.set(bytes);
    await file.read(longer.subarray(bytes.byteLength), bytes.byteLength, signal);
    bytes = longer;
    try {
      return new HeaderReader(bytes, file.path, file.size).read();
    } catch (error) {
      if (!(error instanceof NeedsMore)) throw error;
      if (length === file.size || length === most.headerBytes) {
        throw new OneBitError(
          'bad-file',
          `${file.path}: its header does not end within ${length} bytes: the file was cut short, or it is damaged; copy or download it again.`,
        );
      }
    }
  }
}

class HeaderReader {
  private readonly view: DataView;
  private readonly decoder = new TextDecoder();
  private at = 0;
  private elements = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly path: string,
    private readonly fileSize: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(): GgufHeader {
    if (this.view.getUint32(this.take(4), true) !== 0x46554747)
      throw this.malformed('it does not begin with GGUF');
    const version = this.view.getUint32(this.take(4), true);
    if (version !== 2 && version !== 3) {
      throw new OneBitError(
        'unsupported',
        `${this.path} has version ${version} of GGUF (or is big-endian); 2 and 3 can be read.`,
      );
    }
    const tensorCount = this.count(most.tensors, 'tensors');
    const keyCount = this.count(most.keys, 'metadata entries');
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < keyCount; i++) {
      const key = this.text();
      metadata.set(key, this.value(this.view.getUint32(this.take(4), true), 0));
    }
    const listed = Array.from({ length: tensorCount }, () => this.tensor());
    const alignment = metadata.get('general.alignment') ?? 32;
    if (
      typeof alignment !== 'number' ||
      !Number.isInteger(alignment) ||
      alignment < 1 ||
      alignment > 1 << 20
    ) {
      throw this.malformed(`general.alignment is ${String(alignment).slice(0, 40)}`);
    }
    const start = Math.ceil(this.at / alignment) * alignment;
    const tensors = listed.map((tensor) => ({ ...tensor, offset: start + tensor.offset }));
    this.check(tensors);
    return { version, metadata, tensors };
  }

  private tensor(): GgufTensor {
    const name = this.text();
    const at = `tensor ${name.slice(0, 200)}`;
    const dimensions = this.view.getUint32(this.take(4), true);
    if (dimensions > most.dimensions) throw this.malformed(`${at} has ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, () => this.number64()).reverse();
    const number = this.view.getUint32(this.take(4), true);
    const type = ggmlTypes.get(number);
    if (type === undefined) {
      throw new OneBitError(
        'unsupported',
        `${this.path}: ${at} has the type ${number}, which is not known: give the model in F16.`,
      );
    }
    const offset = this.number64();
    const count = elementCount(shape);
    if (count === undefined || (shape.at(-1) ?? 1) % type.weights !== 0) {
      throw this.malformed(`${at} has the shape [${shape.join(', ')}], which does not fit ${type.name}`);
    }
    return { name, type, shape, offset, byteLength: (count / type.weights) * type.bytes };
  }

  private check(tensors: readonly GgufTensor[]): void {
    const names = new Set<string>();
    for (const { name, offset, byteLength } of tensors) {
      if (names.has(name)) throw this.malformed(`it names tensor ${name.slice(0, 200)} twice`);
      names.add(name);
      if (!Number.isSafeInteger(offset) || offset + byteLength > this.fileSize) {
        throw this.malformed(
          `tensor ${name.slice(0, 200)} ends at byte ${offset + byteLength} and the file after ${this.fileSize}`,
        );
      }
    }
    let end = 0;
    for (const { name, offset, byteLength } of [...tensors].sort((a, b) => a.offset - b.offset)) {
      if (offset < end) throw this.malformed(`tensor ${name.slice(0, 200)} overlaps another`);
      end = offset + byteLength;
    }
  }

  private value(kind: number, depth: number): GgufValue {
    if (kind === stringKind) return this.text();
    if (kind === arrayKind) {
      if (depth > 3) throw this.malformed('its metadata has arrays within arrays without end');
      const of = this.view.getUint32(this.take(4), true);
      const length = this.number64();
      const items: GgufValue[] = [];
      this.elements += length;
      if (this.elements > most.elements) throw this.malformed('its metadata has too many elements');
      for (let i = 0; i < length; i++) items.push(this.value(of, depth + 1));
      return items;
    }
    const size = numberBytes[kind];
    if (size === undefined) throw this.malformed(`its metadata has a value of the kind ${kind}`);
    const at = this.take(size);
    const { view } = this;
    switch (kind) {
      case 0:
        return view.getUint8(at);
      case 1:
        return view.getInt8(at);
      case 2:
        return view.getUint16(at, true);
      case 3:
        return view.getInt16(at, true);
      case 4:
        return view.getUint32(at, true);
      case 5:
        return view.getInt32(at, true);
      case 6:
        return view.getFloat32(at, true);
      case 7:
        return view.getUint8(at) !== 0;
      case 10:
        return Number(view.getBigUint64(at, true));
      case 11:
        return Number(view.getBigInt64(at, true));
      default:
        return view.getFloat64(at, true);
    }
  }

  private count(limit: number, what: string): number {
    const count = this.number64();
    if (count > limit) throw this.malformed(`it claims ${count} ${what}`);
    return count;
  }

  private text(): string {
    const length = this.number64();
    const at = this.take(length);
    return this.decoder.decode(this.bytes.subarray(at, at + length));
  }

  private number64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  /** Goes on by so many bytes, and says where they begin. */
  private take(count: number): number {
    const start = this.at;
    if (count > this.fileSize - start) throw this.malformed('its header goes on behind the end of the file');
    if (count > this.bytes.byteLength - start) throw new NeedsMore();
    this.at += count;
    return start;
  }

  private malformed(what: string): OneBitError {
    return new OneBitError(
      'bad-file',
      `${this.path}: ${what}. It is not a sound GGUF file; copy or download it again.`,
    );
  }
}
