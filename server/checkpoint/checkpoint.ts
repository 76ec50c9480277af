import type { ModelConfig } from './model-config.ts';

export type Dtype = 'F32' | 'F16' | 'BF16' | 'I8' | 'U8' | 'I32' | 'I64' | 'F64' | 'BOOL' | 'I16';

/**
 * Where a tensor's bytes lie. Little-endian, row-major. A safetensors file may be mapped at these offsets
 * (which need not be multiples of anything); the q and k of a llama2.c file have their rows in another
 * order there, so take them from `readBytes` or `readFloats`.
 */
export interface TensorInfo {
  name: string;
  dtype: Dtype;
  shape: number[];
  file: string;
  /** Byte offset in the file, and length. */
  offset: number;
  byteLength: number;
}

/**
 * - `full`: float weights `[out, in]`.
 * - `onebit-training`: float latent weights with `.weight_scale` (h) and `.input_factor` (g).
 * - `onebit`: packed signs, U8 or I8 `[out, in/8]`, with h and g.
 */
export type CheckpointKind = 'full' | 'onebit' | 'onebit-training';

/**
 * An opened checkpoint of any supported format. Tensors carry the Hugging Face LLaMA names whatever
 * the format; a tied model has `model.embed_tokens.weight` only (whichever name it was stored under).
 * Every shape has been checked against the config when `openCheckpoint` returns.
 */
export interface Checkpoint {
  /** The folder or file that was opened. */
  readonly path: string;
  /** `computed`: values are made when they are read; the tensors' files and offsets are not theirs. */
  readonly format: 'safetensors' | 'llama2.c' | 'computed';
  readonly kind: CheckpointKind;
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The tensor's bytes. Throws missing-tensor. */
  readBytes(name: string, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Fills `into` with the tensor's bytes from byte `start` on: for large tensors, in parts or into a
   * buffer that is used again. Throws missing-tensor.
   */
  readInto(name: string, into: Uint8Array, start?: number, signal?: AbortSignal): Promise<void>;
  /** The tensor as f32 whatever its float dtype (llama2.c q/k come permuted to the half-rotated order). */
  readFloats(name: string, signal?: AbortSignal): Promise<Float32Array>;
  close(): Promise<void>;
}

/** A tensor to write: its header entry now, its bytes when its turn comes. */
export interface TensorSource {
  name: string;
  dtype: Dtype;
  shape: number[];
  /** Called once, in order; must return exactly the dtype's size × shape bytes. */
  bytes(signal?: AbortSignal): Promise<Uint8Array> | Uint8Array;
}
