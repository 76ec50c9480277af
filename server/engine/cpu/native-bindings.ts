import type { NativeAddon } from '../../native/addon.ts';

/** The addon's engine part (server/native/engine/binding.cc). */
export interface EngineAddon extends NativeAddon {
  NativeModel: new (shape: NativeShape) => NativeModel;
}

export interface NativeShape {
  hidden: number;
  intermediate: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocab: number;
  context: number;
  rmsEps: number;
  layerNormEps: number;
  ropeTheta: number;
  tied: boolean;
  /** f32 look-up tables in 1-bit products. */
  exact: boolean;
  /** Keys and values in fp16. */
  halfCache: boolean;
}

export type NativeDtype = 'F32' | 'F16' | 'BF16' | 'U8';
export type MatrixSlot = 'embedding' | 'head' | 'weights' | 'signs';
export type VectorName = 'g' | 'h' | 'bias' | 'inputNorm' | 'postNorm' | 'norm';
export type LoadOutcome = 'ok' | 'unreadable' | 'not-finite' | 'out-of-memory';

export interface NativeModel {
  /**
   * Reads a matrix `[out, in]` off the main thread, from a file's range or from memory. `signs` takes
   * packed signs (U8) or float latents, of which it keeps the signs.
   */
  loadMatrix(
    slot: MatrixSlot,
    layer: number,
    projection: number,
    out: number,
    inSize: number,
    dtype: NativeDtype,
    source: string | Uint8Array,
    offset: number,
    byteLength: number,
  ): Promise<LoadOutcome>;
  setVector(name: VectorName, layer: number, projection: number, values: Float32Array): void;
  /** Goes on with the lm_head in 8 bits a weight and an f32 scale a row, once it or the tied embedding is loaded. */
  roundHead(): Promise<'ok' | 'out-of-memory'>;
  /** Takes the scratch memory; to be called once everything is loaded. */
  prepare(): void | Promise<void>;
  openCache(): number;
  closeCache(cache: number): void;
  /** Copies the keys and values of positions [first, end) off the main thread; before `first` both hold the same tokens. */
  copyCache(from: number, to: number, first: number, end: number): Promise<'ok'>;
  /**
   * One element a row; `wanted` holds (row, index of the output, row of the output, count): with a count the most
   * likely tokens are found instead, those of the i-th wanted row in topIds[64 i …] and topValues[65 i …], where their
   * logits follow ln Σ exp(logit).
   */
  forward(
    tokens: Int32Array,
    positions: Int32Array,
    caches: Int32Array,
    wanted: Int32Array,
    outputs: Float32Array[],
    topIds: Int32Array,
    topValues: Float32Array,
  ): Promise<'ok' | 'cancelled'>;
  /** Ends the running forward before its next layer. */
  cancel(): void;
  bytes(): {
    signs: number;
    values: number;
    weights: number;
    embedding: number;
    head: number;
    norms: number;
    scratch: number;
    /** Of one position of one sequence. */
    cachePosition: number;
  };
  free(): void;
}

/** Most rows of one native forward call. */
export const nativeBlockRows = 128;
