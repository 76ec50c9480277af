import { OneBitError } from '../../protocol/error.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import type { DataFile } from '../data-file.ts';
import { dtypeBytes, isFloatDtype } from '../dtype.ts';
import { widenFloats } from '../float-conversion.ts';
import { interleavedRow } from '../interleaved-rows.ts';
import type { ModelConfig } from '../model-config.ts';
import type { TensorFiles } from '../tensor-files.ts';
import { dequantisers } from './dequantise.ts';
import type { GgufTensor } from './gguf-header.ts';

/** A tensor under its Hugging Face name. */
export interface GgufPart {
  stored: GgufTensor;
  info: TensorInfo;
  /** Heads whose rows lie in Meta's order, as llama.cpp writes q and k: pairs that RoPE turns stand side by side. */
  heads?: number;
}

/** Rows that are read and dequantised together, in bytes of the result. */
const blockBytes = 8 << 20;

/** A GGUF file of a full-precision or integer-quantised LLaMA; its rows become Hugging Face's as they are read. */
export class GgufCheckpoint implements Checkpoint {
  readonly format = 'computed';
  readonly kind = 'full';
  readonly tensors: ReadonlyMap<string, TensorInfo>;

  constructor(
    readonly path: string,
    readonly config: ModelConfig,
    private readonly parts: ReadonlyMap<string, GgufPart>,
    private readonly file: DataFile,
    /** Owned by the checkpoint from now on. */
    private readonly files: TensorFiles,
  ) {
    this.tensors = new Map([...parts].map(([name, { info }]) => [name, info]));
  }

  async readBytes(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = new Uint8Array(this.part(name).info.byteLength);
    await this.readInto(name, bytes, 0, signal);
    return bytes;
  }

  async readInto(name: string, into: Uint8Array, start = 0, signal?: AbortSignal): Promise<void> {
    const part = this.part(name);
    const { info, heads } = part;
    if (start < 0 || start + into.byteLength > info.byteLength) {
      throw new OneBitError('internal', `${name}: a read past its end.`);
    }
    const rows = info.shape.length > 1 ? (info.shape[0] as number) : 1;
    const rowBytes = info.byteLength / rows;
    const most = Math.max(1, Math.floor(blockBytes / rowBytes));
    const end = start + into.byteLength;
    for (let row = Math.floor(start / rowBytes); row * rowBytes < end;) {
      const left = Math.ceil(end / rowBytes) - row;
      // Rows of another order are read one by one.
      const count = heads === undefined ? Math.min(most, left) : 1;
      const from = heads === undefined ? row : interleavedRow(row, rows / heads);
      const bytes = await this.readRows(part, from, count, rowBytes, signal);
      const first = Math.max(start, row * rowBytes);
      const last = Math.min(end, (row + count) * rowBytes);
      into.set(bytes.subarray(first - row * rowBytes, last - row * rowBytes), first - start);
      row += count;
    }
  }

  async readFloats(name: string, signal?: AbortSignal): Promise<Float32Array> {
    const { dtype, byteLength } = this.part(name).info;
    if (!isFloatDtype(dtype))
      throw new OneBitError('bad-request', `${this.path}: ${name} holds ${dtype}, not floats.`);
    const values = new Float32Array(byteLength / dtypeBytes[dtype]);
    if (dtype === 'F32') {
      await this.readInto(name, new Uint8Array(values.buffer), 0, signal);
      return values;
    }
    const bytes = new Uint8Array(Math.min(blockBytes, byteLength));
    for (let start = 0; start < byteLength; start += blockBytes) {
      const some = bytes.subarray(0, Math.min(blockBytes, byteLength - start));
      await this.readInto(name, some, start, signal);
      widenFloats(some, dtype, values, start / dtypeBytes[dtype]);
    }
    return values;
  }

  async close(): Promise<void> {
    await this.files.close();
  }

  /** Rows in the file's order, as they are or as f32. */
  private async readRows(
    { stored }: GgufPart,
    row: number,
    count: number,
    rowBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const dequantise = dequantisers.get(stored.type.name);
    const storedRow =
      dequantise === undefined ? rowBytes : ((rowBytes / 4) * stored.type.bytes) / stored.type.weights;
    const bytes = new Uint8Array(count * storedRow);
    await this.file.read(bytes, stored.offset + row * storedRow, signal);
    if (dequantise === undefined) return bytes;
    const values = new Float32Array((count * rowBytes) / 4);
    dequantise(new DataView(bytes.buffer), values.length / stored.type.weights, values);
    return new Uint8Array(values.buffer);
  }

  private part(name: string): GgufPart {
    const part = this.parts.get(name);
    if (part === undefined) throw new OneBitError('missing-tensor', `${this.path} has no tensor ${name}.`);
    return part;
  }
}
