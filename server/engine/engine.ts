import type { CrashJournal } from '../gpu/crash-journal.ts';
import { OneBitError } from '../protocol/error.ts';
import type { Device } from '../protocol/device.ts';
import type { MemoryReport } from '../protocol/memory.ts';
import type { ModelConfig } from '../checkpoint/model-config.ts';

/** See EngineOptions.headBits. */
export type HeadBits = 8 | 16;

export interface EngineOptions {
  /** Positions a sequence may hold; the model's maximum if absent. */
  contextLength?: number;
  /** Threads of the native kernels; one a core if absent. */
  threads?: number;
  /** f32 activations and KV cache: the reference path. Default: 1-bit products round activations to integers. */
  exact?: boolean;
  /**
   * Bits of a weight in the CPU's lm_head; 16: as the checkpoint has it. Default: 8 for a 1-bit model, 16 with `exact`
   * and for full precision.
   */
  headBits?: HeadBits;
  /** Sequences that may be open at once. */
  sequences?: number;
  /** Where it runs; default 'cpu'. The command line and the server ask for 'auto'. */
  device?: Device;
  /** Where the use of GPUs is noted, so that `auto` keeps off one that killed a process. */
  gpuJournal?: CrashJournal;
  /**
   * Which CPU engine: 'native' fails without the addon, 'wasm' is the same engine in WebAssembly, 'portable' the TypeScript
   * path. Default: the first of them that can serve.
   */
  path?: 'auto' | 'native' | 'wasm' | 'portable';
}

/** One conversation with its KV cache. Owned by whoever opened it. */
export interface Sequence {
  /** Tokens whose keys and values are in the cache. */
  readonly length: number;
  /** Keeps the first n positions. */
  truncate(n: number): void;
  dispose(): void;
}

/** The most likely tokens that an engine can be asked for. */
export const mostTop = 64;

/** The most likely next tokens of a position, and what turns their logits into log-probabilities. */
export interface TopLogits {
  /** How many are wanted, 1 to `mostTop`. */
  readonly wanted: number;
  /** Most likely first, of equals the lower id; empty until an engine has filled it. */
  ids: number[];
  /** The logits of `ids`. */
  logits: number[];
  /** The natural logarithm of Σ exp(logit) over the vocabulary. */
  logSumExp: number;
}

export interface EngineStep {
  sequence: Sequence;
  tokens: ArrayLike<number>;
  /** Which positions' logits are wanted: the last one's, or all of them. */
  logits: 'last' | 'all' | 'none';
  /**
   * With `logits: 'last'`: the most likely tokens would do. An engine that finds them where its logits are fills this
   * and returns no logits for the step, so that bytes come back instead of the vocabulary; others ignore it.
   */
  top?: TopLogits;
  /**
   * With `logits: 'last'`: where an engine may put them, f32 [vocab], and what it then returns, so that a text does not
   * leave megabytes of garbage behind. Whoever gives it reads it before its next step.
   */
  into?: Float32Array;
}

/** Whether the most likely tokens are wanted of a step, and not all of its logits. */
export function wantsTop(step: EngineStep | undefined): boolean {
  return step?.top !== undefined && step.logits === 'last' && step.top.wanted <= mostTop;
}

/**
 * A model that is ready to run, on one device. Full-precision and 1-bit checkpoints alike.
 * `forward` runs off the main thread and yields between slices so that an abort takes effect within
 * one token (decode) or one block of 256 tokens (prefill).
 */
export interface Engine {
  readonly config: ModelConfig;
  readonly contextLength: number;
  memory(): MemoryReport;
  open(): Sequence;
  /**
   * Appends each step's tokens and returns its logits, `[wanted, vocab]` f32 (empty where `top` was filled
   * instead). A batch runs together.
   */
  forward(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]>;
  /**
   * Appends positions [to.length, end) of `from` to `to` without computing them; before these, both hold the same tokens.
   * Absent where an engine cannot: the tokens then have to run.
   * @throws OneBitError internal where `from` holds fewer positions
   */
  copyPositions?(from: Sequence, to: Sequence, end: number): Promise<void>;
  dispose(): Promise<void>;
}

/** @throws OneBitError internal unless `from` has all positions up to `end` */
export function requirePositions(from: Sequence, end: number): void {
  if (from.length >= end) return;
  throw new OneBitError('internal', `The sequence to copy from holds ${from.length} positions, not ${end}.`);
}
