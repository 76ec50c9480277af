import type { Checkpoint, TensorInfo } from '../../checkpoint/checkpoint.ts';
import { projections, projectionShape, type ModelConfig } from '../../checkpoint/model-config.ts';
import { OneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { MemoryReport } from '../../protocol/memory.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import {
  mostTop,
  requirePositions,
  wantsTop,
  type Engine,
  type EngineStep,
  type HeadBits,
  type Sequence,
} from '../engine.ts';
import { Exclusive } from '../exclusive.ts';
import { cpuDevice, memoryReport } from '../memory-report.ts';
import {
  nativeBlockRows,
  type EngineAddon,
  type MatrixSlot,
  type NativeDtype,
  type NativeModel,
} from './native-bindings.ts';
import { isPacked, notFinite, readFiniteFloats, requireWholeBytes } from './portable-linear.ts';
import { planSteps, type StepBlock } from '../step-plan.ts';

export interface NativeEngineOptions {
  contextLength: number;
  sequences: number;
  exact: boolean;
  headBits?: HeadBits;
  /** Why the model runs on the CPU, for the memory report. */
  reason?: string;
}

class NativeSequence implements Sequence {
  length = 0;
  /** Positions that have been in use at one time: their memory is held. */
  used = 0;

  constructor(
    readonly cache: number,
    private readonly onDispose: (sequence: NativeSequence) => void,
  ) {}

  truncate(n: number): void {
    this.length = Math.min(this.length, Math.max(0, n));
  }

  dispose(): void {
    this.onDispose(this);
  }
}

/**
 * The model in the addon's memory. Unless `exact`, the inputs of 1-bit products are rounded to integers,
 * about 12 bits of each block of 512, and a 1-bit model's keys and values to fp16: perplexity moves by
 * less than 0.1%. Full-precision models always run in f32. A token's logits are the same to the last
 * bit whether it is decoded alone, in a batch or in a prompt.
 */
export class NativeEngine implements Engine {
  readonly config: ModelConfig;
  readonly contextLength: number;
  private readonly work = new Exclusive();
  private readonly sequences = new Set<NativeSequence>();
  private isDisposed = false;
  /** The most likely tokens of a block's rows, as the addon writes them. */
  private readonly topIds = new Int32Array(nativeBlockRows * mostTop);
  private readonly topValues = new Float32Array(nativeBlockRows * (mostTop + 1));

  private constructor(
    private readonly addon: EngineAddon,
    private readonly model: NativeModel,
    config: ModelConfig,
    private readonly options: NativeEngineOptions,
    /** Keys and values in fp16. */
    private readonly halfCache: boolean,
  ) {
    this.config = config;
    this.contextLength = options.contextLength;
  }

  /** Streams the tensors into the addon's memory, each with all threads. */
  static async load(
    addon: EngineAddon,
    checkpoint: Checkpoint,
    options: NativeEngineOptions,
    signal?: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<NativeEngine> {
    const { config } = checkpoint;
    const halfCache = !options.exact && checkpoint.kind !== 'full';
    const model = new addon.NativeModel({
      hidden: config.hiddenSize,
      intermediate: config.intermediateSize,
      layers: config.layers,
      heads: config.heads,
      kvHeads: config.kvHeads,
      headDim: config.headDim,
      vocab: config.vocabSize,
      context: options.contextLength,
      rmsEps: config.rmsNormEps,
      layerNormEps: config.layerNormEps,
      ropeTheta: config.ropeTheta,
      tied: config.tieEmbeddings,
      exact: options.exact,
      halfCache,
    });
    try {
      await loadWeights(model, checkpoint, signal, onProgress);
      const headBits = options.headBits ?? (options.exact || checkpoint.kind === 'full' ? 16 : 8);
      if (headBits === 8 && (await model.roundHead()) !== 'ok') throw outOfMemory(checkpoint.path);
      await model.prepare();
    } catch (error) {
      model.free();
      throw isOutOfMemory(error) ? outOfMemory(checkpoint.path) : error;
    }
    return new NativeEngine(addon, model, config, options, halfCache);
  }

  memory(): MemoryReport {
    this.requireOpen();
    const { cachePosition, ...held } = this.model.bytes();
    const positions = [...this.sequences].reduce((sum, sequence) => sum + sequence.used, 0);
    return memoryReport(this.config, {
      device: cpuDevice(this.addon.isa, this.options.reason),
      contextLength: this.contextLength,
      kvElementBytes: this.halfCache ? 2 : 4,
      held: { ...held, 'kv-cache': positions * cachePosition },
    });
  }

  open(): Sequence {
    this.requireOpen();
    if (this.sequences.size >= this.options.sequences) {
      throw new OneBitError('busy', `All ${this.options.sequences} sequences of this engine are in use.`);
    }
    let cache: number;
    try {
      cache = this.model.openCache();
    } catch (error) {
      throw isOutOfMemory(error)
        ? new OneBitError(
            'out-of-memory',
            `No memory for a KV cache of ${this.contextLength} positions: load the model with a shorter context.`,
            { cause: error },
          )
        : error;
    }
    const sequence = new NativeSequence(cache, (closed) => {
      if (!this.sequences.delete(closed)) return;
      // After the work that may still write to it.
      void this.work.run(async () => {
        if (!this.isDisposed) this.model.closeCache(cache);
      });
    });
    this.sequences.add(sequence);
    return sequence;
  }

  forward(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.work.run(() => this.run(steps, signal));
  }

  copyPositions(from: Sequence, to: Sequence, end: number): Promise<void> {
    return this.work.run(async () => {
      this.requireOpen();
      const source = this.own(from);
      const target = this.own(to);
      requirePositions(source, end);
      if (source === target || target.length >= end) return;
      target.used = Math.max(target.used, end);
      await this.model.copyCache(source.cache, target.cache, target.length, end);
      target.length = end;
    });
  }

  async dispose(): Promise<void> {
    if (this.isDisposed) return;
    this.model.cancel();
    await this.work.run(async () => {
      this.isDisposed = true;
      this.sequences.clear();
      this.model.free();
    });
  }

  private requireOpen(): void {
    if (this.isDisposed) throw new OneBitError('no-model', 'The engine has been disposed.');
  }

  private async run(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    throwIfCancelled(signal);
    this.requireOpen();
    const { contextLength, config } = this;
    const sequences = steps.map(({ sequence }) => this.own(sequence));
    const plan = planSteps(steps, { contextLength, vocabSize: config.vocabSize, blockRows: nativeBlockRows });
    const outputs = plan.wantedRows.map((rows, i) => {
      const size = wantsTop(steps[i]) ? 0 : rows * config.vocabSize;
      const into = steps[i]?.into;
      return into?.length === size ? into : new Float32Array(size);
    });
    steps.forEach(({ tokens }, i) => {
      const sequence = sequences[i] as NativeSequence;
      sequence.used = Math.max(sequence.used, sequence.length + tokens.length);
    });
    const cancel = () => this.model.cancel();
    signal?.addEventListener('abort', cancel);
    try {
      for (const block of plan.blocks) {
        throwIfCancelled(signal);
        await this.runBlock(block, steps, sequences, outputs);
      }
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
    // Only now: an abort or an error leaves every sequence as it was.
    steps.forEach(({ tokens }, i) => ((sequences[i] as NativeSequence).length += tokens.length));
    return outputs;
  }

  private async runBlock(
    block: StepBlock,
    steps: EngineStep[],
    sequences: NativeSequence[],
    outputs: Float32Array[],
  ) {
    const { model, topIds, topValues } = this;
    const caches = block.step.map((step) => (sequences[step] as NativeSequence).cache);
    const counts = block.wanted.map(({ step }) => this.topCount(steps[step]));
    const wanted = Int32Array.from(
      block.wanted.flatMap(({ row, step, outputRow }, i) => [row, step, outputRow, counts[i] ?? 0]),
    );
    const { tokens, position } = block;
    const outcome = await model.forward(tokens, position, caches, wanted, outputs, topIds, topValues);
    if (outcome !== 'ok') throw new OneBitError('cancelled', 'Cancelled.');
    block.wanted.forEach(({ step }, i) => {
      const top = steps[step]?.top;
      const count = counts[i] ?? 0;
      if (top === undefined || count === 0) return;
      top.ids = [...topIds.subarray(i * mostTop, i * mostTop + count)];
      const [logSumExp = NaN, ...logits] = topValues.subarray(
        i * (mostTop + 1),
        i * (mostTop + 1) + 1 + count,
      );
      Object.assign(top, { logSumExp, logits });
    });
  }

  private topCount(step: EngineStep | undefined): number {
    return wantsTop(step) ? Math.min(step?.top?.wanted ?? 0, this.config.vocabSize) : 0;
  }

  private own(sequence: Sequence): NativeSequence {
    if (sequence instanceof NativeSequence && this.sequences.has(sequence)) return sequence;
    throw new OneBitError('internal', 'The sequence is disposed or belongs to another engine.');
  }
}

async function loadWeights(
  model: NativeModel,
  checkpoint: Checkpoint,
  signal?: AbortSignal,
  onProgress?: OnProgress,
): Promise<void> {
  const { config, kind } = checkpoint;
  const { hiddenSize, vocabSize, layers } = config;
  const loadMatrix = async (
    slot: MatrixSlot,
    layer: number,
    projection: number,
    [out, inSize]: [number, number],
    name: string,
  ): Promise<void> => {
    throwIfCancelled(signal);
    const { dtype, source, offset, byteLength } = await tensorSource(checkpoint, name, signal);
    const load = model.loadMatrix(slot, layer, projection, out, inSize, dtype, source, offset, byteLength);
    switch (await load) {
      case 'ok':
        return;
      case 'not-finite':
        throw notFinite(checkpoint, name);
      case 'unreadable':
        throw new OneBitError(
          'unreadable',
          `${checkpoint.tensors.get(name)?.file ?? checkpoint.path}: ${name} cannot be read; the file has changed or is no longer there.`,
        );
      case 'out-of-memory':
        throw outOfMemory(checkpoint.path);
    }
  };
  const floats = (name: string) => readFiniteFloats(checkpoint, name, signal);

  await loadMatrix('embedding', 0, 0, [vocabSize, hiddenSize], 'model.embed_tokens.weight');
  if (!config.tieEmbeddings) await loadMatrix('head', 0, 0, [vocabSize, hiddenSize], 'lm_head.weight');
  for (let layer = 0; layer < layers; layer++) {
    onProgress?.({ phase: 'load', done: layer, total: layers, unit: 'layers' });
    const prefix = `model.layers.${layer}`;
    for (const [index, projection] of projections.entries()) {
      const name = `${prefix}.${projection}`;
      if (kind !== 'full') requireWholeBytes(config, projection, name);
      const slot = kind === 'full' ? 'weights' : 'signs';
      await loadMatrix(slot, layer, index, projectionShape(config, projection), `${name}.weight`);
      if (kind !== 'full') {
        model.setVector('g', layer, index, await floats(`${name}.input_factor`));
        model.setVector('h', layer, index, await floats(`${name}.weight_scale`));
      }
      if (checkpoint.tensors.has(`${name}.bias`)) {
        model.setVector('bias', layer, index, await floats(`${name}.bias`));
      }
    }
    model.setVector('inputNorm', layer, 0, await floats(`${prefix}.input_layernorm.weight`));
    model.setVector('postNorm', layer, 0, await floats(`${prefix}.post_attention_layernorm.weight`));
  }
  model.setVector('norm', 0, 0, await floats('model.norm.weight'));
  onProgress?.({ phase: 'load', done: layers, total: layers, unit: 'layers' });
}

interface NativeSource {
  dtype: NativeDtype;
  source: string | Uint8Array;
  offset: number;
  byteLength: number;
}

/** The tensor's range of its file where the addon can read it as it is, else its values in memory as f32. */
async function tensorSource(
  checkpoint: Checkpoint,
  name: string,
  signal?: AbortSignal,
): Promise<NativeSource> {
  const info = checkpoint.tensors.get(name);
  if (info !== undefined && checkpoint.format === 'safetensors') {
    const dtype = nativeDtype(info);
    if (dtype !== undefined) {
      return { dtype, source: info.file, offset: info.offset, byteLength: info.byteLength };
    }
  }
  if (isPacked(checkpoint, name)) {
    const bytes = await checkpoint.readBytes(name, signal);
    return { dtype: 'U8', source: bytes, offset: 0, byteLength: bytes.byteLength };
  }
  const values = await checkpoint.readFloats(name, signal);
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { dtype: 'F32', source: bytes, offset: 0, byteLength: bytes.byteLength };
}

function nativeDtype({ dtype }: TensorInfo): NativeDtype | undefined {
  switch (dtype) {
    case 'F32':
    case 'F16':
    case 'BF16':
      return dtype;
    case 'U8':
    case 'I8':
      return 'U8';
    default:
      return undefined;
  }
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && error.message === 'out-of-memory';
}

function outOfMemory(path: string): OneBitError {
  return new OneBitError(
    'out-of-memory',
    `${path} does not fit the memory that is free: close other programs, or take a smaller model or context.`,
  );
}
