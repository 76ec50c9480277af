import { OneBitError } from '../protocol/error.ts';
import type { Checkpoint, CheckpointKind, TensorInfo } from './checkpoint.ts';
import { dtypeBytes, isFloatDtype } from './dtype.ts';
import { widenFloats } from './float-conversion.ts';
import { interleavedRow } from './interleaved-rows.ts';
import type { ModelConfig } from './model-config.ts';
import type { TensorFiles } from './tensor-files.ts';

export interface FileCheckpointParts {
  path: string;
  format: Checkpoint['format'];
  kind: CheckpointKind;
  config: ModelConfig;
  tensors: ReadonlyMap<string, TensorInfo>;
  /** Owned by the checkpoint from now on. */
  files: TensorFiles;
  /** Tensors whose rows lie in llama2.c's order, with their number of heads. */
  interleaved?: ReadonlyMap<string, number>;
}

/** A checkpoint whose tensors are ranges of files, read when asked for. */
export class FileCheckpoint implements Checkpoint {
  readonly path: string;
  readonly format: Checkpoint['format'];
  readonly kind: CheckpointKind;
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #files: TensorFiles;
  readonly #interleaved: ReadonlyMap<string, number>;

  constructor(parts: FileCheckpointParts) {
    this.path = parts.path;
    this.format = parts.format;
    this.kind = parts.kind;
    this.config = parts.config;
    this.tensors = parts.tensors;
    this.#files = parts.files;
    this.#interleaved = parts.interleaved ?? new Map();
  }

  async readBytes(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = new Uint8Array(this.#info(name).byteLength);
    await this.readInto(name, bytes, 0, signal);
    return bytes;
  }

  async readInto(name: string, into: Uint8Array, start = 0, signal?: AbortSignal): Promise<void> {
    const tensor = this.#info(name);
    if (start < 0 || start + into.byteLength > tensor.byteLength) {
      throw new OneBitError('internal', `${name}: a read past its end.`);
    }
    const file = this.#files.fileOf(tensor);
    const heads = this.#interleaved.get(name);
    if (heads === undefined) {
      await file.read(into, tensor.offset + start, signal);
      return;
    }
    const bytes = new Uint8Array(tensor.byteLength);
    await file.read(bytes, tensor.offset, signal);
    const ordered = halfRotated(bytes, tensor.shape[0] as number, heads);
    into.set(ordered.subarray(start, start + into.byteLength));
  }

  async readFloats(name: string, signal?: AbortSignal): Promise<Float32Array> {
    const tensor = this.#info(name);
    const { dtype } = tensor;
    if (!isFloatDtype(dtype)) {
      throw new OneBitError('bad-request', `${this.path}: ${name} holds ${dtype}, not floats.`);
    }
    if (this.#interleaved.has(name)) return new Float32Array((await this.readBytes(name, signal)).buffer);
    const values = new Float32Array(tensor.byteLength / dtypeBytes[dtype]);
    await this.#files
      .fileOf(tensor)
      .readParts(
        tensor.offset,
        tensor.byteLength,
        (part, start) => widenFloats(part, dtype, values, start / dtypeBytes[dtype]),
        signal,
      );
    return values;
  }

  async close(): Promise<void> {
    await this.#files.close();
  }

  #info(name: string): TensorInfo {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) {
      throw new OneBitError('missing-tensor', `${this.path} has no tensor ${name}.`);
    }
    return tensor;
  }
}

/** The rows of a q or k projection in Hugging Face's order, of those in Meta's. */
function halfRotated(bytes: Uint8Array, rows: number, heads: number): Uint8Array {
  const rowBytes = bytes.byteLength / rows;
  const result = new Uint8Array(bytes.byteLength);
  for (let row = 0; row < rows; row++) {
    const from = interleavedRow(row, rows / heads);
    result.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return result;
}
