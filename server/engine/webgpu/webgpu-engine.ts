import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { GpuDevice } from '../../gpu/device.ts';
import { OneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { MemoryReport } from '../../protocol/memory.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { requirePositions, wantsTop, type Engine, type EngineStep, type Sequence } from '../engine.ts';
import { Exclusive } from '../exclusive.ts';
import { memoryReport, type HeldBytes } from '../memory-report.ts';
import { planSteps, type StepBlock, type WantedRow } from '../step-plan.ts';
import {
  cacheBanks,
  maxDecodeRows,
  maxRows,
  maxTop,
  planBuffers,
  planGpuMemory,
  positionBytes,
  type GpuEngineShape,
} from './buffer-plan.ts';
import { GpuSequences, type GpuSequence } from './gpu-sequences.ts';
import { ModelPrograms, type StepShape } from './model-programs.ts';
import { StepCommands } from './step-commands.ts';
import { rotationTable, uploadWeights } from './upload-weights.ts';

export interface WebGpuEngineOptions {
  contextLength: number;
  sequences: number;
  /** f32 in the KV cache; fp16 otherwise. */
  exact?: boolean;
  /** See GpuEngineShape. */
  splitFrom?: number;
  bankBytes?: number;
  /** Why the model runs on this GPU, for the memory report. */
  reason?: string;
  /** `dispose` destroys the device too. */
  ownsDevice?: boolean;
  /** After the load, kernels that no step has needed yet are compiled in the background. */
  compilesAhead?: boolean;
}

/**
 * A 1-bit model in a GPU's memory. The signs stay packed; the embedding's table stays in the host's memory, and
 * a step uploads the rows of its tokens. A step (a prompt's for each 128 tokens) makes nothing
 * but its command buffers: other buffers, pipelines and bind groups are made at load.
 */
export class WebGpuEngine implements Engine {
  readonly config: ModelConfig;
  readonly contextLength: number;
  private readonly work = new Exclusive();
  private readonly sequences: GpuSequences;
  private readonly commands: StepCommands;
  /** What a step writes, made once. */
  private readonly inputs: {
    embedded: Uint16Array<ArrayBuffer>;
    rows: Uint32Array<ArrayBuffer>;
    wanted: Uint32Array<ArrayBuffer>;
  };
  private disposed = false;
  private readonly lifetime = new AbortController();
  /** Resolves when nothing is compiled in the background. */
  private readonly compiling: Promise<void>;
  /** Bytes that `forward` has read back from the GPU. */
  bytesReadBack = 0;

  private constructor(
    private readonly gpu: GpuDevice,
    private readonly programs: ModelPrograms,
    private embedding: Uint16Array,
    private readonly shape: GpuEngineShape,
    private readonly options: WebGpuEngineOptions,
  ) {
    this.config = shape.config;
    this.contextLength = shape.contextLength;
    this.sequences = new GpuSequences(cacheBanks(shape));
    this.commands = new StepCommands(gpu, programs, shape.config.vocabSize);
    this.inputs = {
      embedded: new Uint16Array(maxRows * this.config.hiddenSize),
      rows: new Uint32Array(4 * maxRows),
      wanted: new Uint32Array(maxDecodeRows),
    };
    // What does not compile is told to the step that needs it.
    this.compiling =
      options.compilesAhead === true
        ? programs.compileAll(this.lifetime.signal).catch(() => undefined)
        : Promise.resolve();
  }

  /**
   * Makes every buffer and pipeline, then uploads the weights.
   * @throws OneBitError unsupported for a full-precision checkpoint or a shape that the kernels have no room for,
   *   out-of-memory, gpu-lost, bad-value (NaN), cancelled; nothing is left on the device then
   */
  static async load(
    gpu: GpuDevice,
    checkpoint: Checkpoint,
    options: WebGpuEngineOptions,
    signal?: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<WebGpuEngine> {
    const { config } = checkpoint;
    requireRunnable(checkpoint);
    const { contextLength, sequences, exact = false, splitFrom, bankBytes } = options;
    const shape: GpuEngineShape = { config, contextLength, sequences, exact, splitFrom, bankBytes };
    throwIfCancelled(signal);
    const programs = await ModelPrograms.create(gpu, shape);
    try {
      const upload = (name: string, { buffer, byteOffset, byteLength }: ArrayBufferView, offset = 0) => {
        // Copies go by 4 bytes; what is added belongs to no row.
        const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
        const whole = 4 * Math.ceil(byteLength / 4);
        const data = whole === byteLength ? bytes : new Uint8Array(whole);
        if (data !== bytes) data.set(bytes);
        gpu.queue.writeBuffer(programs.buffer(name), offset, data);
      };
      const sent = async () => {
        await gpu.queue.onSubmittedWorkDone();
        gpu.check();
      };
      upload('turns', rotationTable(contextLength, config.headDim, config.ropeTheta));
      const embedding = await uploadWeights(checkpoint, upload, sent, signal, onProgress);
      return new WebGpuEngine(gpu, programs, embedding, shape, options);
    } catch (error) {
      programs.destroy();
      throw error;
    }
  }

  memory(): MemoryReport {
    this.requireOpen();
    const { config, gpu, shape } = this;
    const held: HeldBytes = { ...planGpuMemory(config, shape.contextLength, 1, shape.exact).parts };
    for (const part of Object.keys(held) as (keyof HeldBytes)[]) held[part] = 0;
    for (const { name, part } of planBuffers(shape)) {
      if (part !== 'staging') held[part] += this.programs.buffer(name).size;
    }
    return memoryReport(config, {
      device: {
        kind: 'gpu',
        name: gpu.info.name,
        path: gpu.features.has('subgroups') ? 'webgpu, subgroups' : 'webgpu',
        reason: this.options.reason,
      },
      contextLength: this.contextLength,
      kvElementBytes: shape.exact ? 4 : 2,
      held,
      planned: planGpuMemory(config, shape.contextLength, shape.sequences, shape.exact).parts,
    });
  }

  open(): Sequence {
    this.requireOpen();
    return this.sequences.open();
  }

  forward(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.work.run(() => this.run(steps, signal));
  }

  copyPositions(from: Sequence, to: Sequence, end: number): Promise<void> {
    return this.work.run(async () => {
      this.requireOpen();
      this.gpu.check();
      const [source, target] = [this.sequences.own(from), this.sequences.own(to)];
      requirePositions(source, end);
      if (source === target || target.length >= end) return;
      await this.copyCache(source, target, end);
      target.length = end;
    });
  }

  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.lifetime.abort();
    await Promise.all([this.work.idle(), this.compiling]);
    this.sequences.clear();
    this.programs.destroy();
    this.embedding = new Uint16Array(0);
    if (this.options.ownsDevice === true) this.gpu.destroy();
  }

  private requireOpen(): void {
    if (this.disposed) throw new OneBitError('no-model', 'The engine has been disposed.');
  }

  /** Keys and values of positions [target.length, end), in every layer. The steps that follow wait for it. */
  private async copyCache(source: GpuSequence, target: GpuSequence, end: number): Promise<void> {
    const { gpu, programs, shape } = this;
    const { contextLength } = shape;
    const bytes = positionBytes(shape);
    const first = target.length;
    const offset = ({ slot }: GpuSequence) => (slot * contextLength + first) * bytes;
    const program = source.bank === target.bank ? await programs.copiesWithin(source.bank) : undefined;
    const encoder = gpu.device.createCommandEncoder();
    if (program !== undefined) {
      // In pairs of elements, as the kernel sees the cache.
      const pairs = [offset(source), offset(target), (end - first) * bytes].map(
        (size) => size / (shape.exact ? 8 : 4),
      );
      gpu.queue.writeBuffer(programs.buffer('rows'), 0, new Uint32Array([...pairs, 0]));
      const pass = encoder.beginComputePass();
      program.encode(pass, { rows: 1 });
      pass.end();
    } else {
      for (let layer = 0; layer < this.config.layers; layer++) {
        for (const kind of ['keys', 'values']) {
          const name = `layers.${layer}.${kind}`;
          encoder.copyBufferToBuffer(
            programs.buffer(`${name}.${source.bank}`),
            offset(source),
            programs.buffer(`${name}.${target.bank}`),
            offset(target),
            (end - first) * bytes,
          );
        }
      }
    }
    gpu.queue.submit([encoder.finish()]);
  }

  private async run(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    throwIfCancelled(signal);
    this.requireOpen();
    this.gpu.check();
    const { contextLength, config } = this;
    const sequences = steps.map(({ sequence }) => this.sequences.own(sequence));
    const plan = planSteps(steps, { contextLength, vocabSize: config.vocabSize, blockRows: maxRows });
    const outputs = plan.wantedRows.map(
      (rows, i) => new Float32Array(wantsTop(steps[i]) ? 0 : rows * config.vocabSize),
    );
    for (const block of plan.blocks) {
      throwIfCancelled(signal);
      await this.runBlock(block, steps, sequences, outputs);
    }
    // Only now: an abort or an error leaves every sequence as it was.
    steps.forEach(({ tokens }, i) => {
      const sequence = sequences[i];
      if (sequence !== undefined) sequence.length += tokens.length;
    });
    return outputs;
  }

  /** One block through all layers, and the logits or the most likely tokens of its wanted rows. */
  private async runBlock(
    block: StepBlock,
    steps: EngineStep[],
    sequences: GpuSequence[],
    outputs: Float32Array[],
  ): Promise<void> {
    this.writeInputs(block, sequences);
    for (let first = 0; first === 0 || first < block.wanted.length; first += maxDecodeRows) {
      const wanted = block.wanted.slice(first, first + maxDecodeRows);
      await this.submit(first === 0 ? block.position : new Int32Array(0), wanted, steps, outputs);
    }
  }

  private writeInputs(block: StepBlock, sequences: GpuSequence[]): void {
    const { hiddenSize } = this.config;
    const { embedded, rows } = this.inputs;
    const count = block.tokens.length;
    for (let row = 0; row < count; row++) {
      const token = block.tokens[row] as number;
      embedded.set(this.embedding.subarray(token * hiddenSize, (token + 1) * hiddenSize), row * hiddenSize);
      const { bank, slot } = sequences[block.step[row] as number] as GpuSequence;
      rows[4 * row] = block.position[row] as number;
      rows[4 * row + 1] = slot;
      rows[4 * row + 2] = bank;
    }
    const { queue } = this.gpu;
    queue.writeBuffer(this.programs.buffer('embedded'), 0, embedded, 0, count * hiddenSize);
    queue.writeBuffer(this.programs.buffer('rows'), 0, rows, 0, 4 * count);
  }

  /** The layers of the rows at these positions (none where they have run), and the wanted rows' head. */
  private async submit(
    positions: Int32Array,
    wanted: WantedRow[],
    steps: EngineStep[],
    outputs: Float32Array[],
  ): Promise<void> {
    const { gpu, programs, commands, config } = this;
    const count = wanted.length;
    const tops = wanted.filter(({ step }) => wantsTop(steps[step])).length;
    const most = wanted.every(({ step }) => (steps[step]?.top?.wanted ?? 1) <= 1) ? 1 : maxTop;
    if (count > 0) {
      wanted.forEach(({ row }, i) => (this.inputs.wanted[i] = row));
      // Rows beyond the wanted ones are computed and thrown away: they have to exist.
      this.inputs.wanted.fill(wanted[0]?.row ?? 0, count);
      gpu.queue.writeBuffer(programs.buffer('wanted'), 0, this.inputs.wanted);
    }
    const step: StepShape = {
      rows: positions.length,
      positions: 1 + Math.max(0, ...positions),
      wanted: count,
      top: tops > 0 ? most : 0,
      readsLogits: tops < count,
    };
    await commands.submit(step);
    const bytes = commands.readBytes(step);
    // Sequences that decode go on to do so, each one position further.
    if (step.rows === count && count <= maxDecodeRows) {
      commands.prepare({ ...step, positions: step.positions + 1 });
    }
    try {
      if (count === 0) await gpu.queue.onSubmittedWorkDone();
      await this.readBack('readTop', bytes.top, (read) =>
        fillTops(read, wanted, steps, Math.min(most, config.vocabSize)),
      );
      await this.readBack('readLogits', bytes.logits, (read) => {
        const logits = new Float32Array(read);
        wanted.forEach(({ step, outputRow }, i) => {
          if (wantsTop(steps[step])) return;
          outputs[step]?.set(
            logits.subarray(i * config.vocabSize, (i + 1) * config.vocabSize),
            outputRow * config.vocabSize,
          );
        });
      });
    } catch (error) {
      gpu.check();
      throw error;
    }
    gpu.check();
  }

  private async readBack(name: string, bytes: number, use: (bytes: ArrayBuffer) => void): Promise<void> {
    if (bytes === 0) return;
    const buffer = this.programs.buffer(name);
    await buffer.mapAsync(GPUMapMode.READ, 0, bytes);
    try {
      use(buffer.getMappedRange(0, bytes));
    } finally {
      buffer.unmap();
    }
    this.bytesReadBack += bytes;
  }
}

/** @throws OneBitError internal where the GPU gave no finite number */
function fillTops(bytes: ArrayBuffer, wanted: WantedRow[], steps: EngineStep[], found: number): void {
  const words = new Uint32Array(bytes);
  const floats = new Float32Array(bytes);
  wanted.forEach(({ step }, i) => {
    const top = steps[step]?.top;
    if (top === undefined || !wantsTop(steps[step])) return;
    const at = (i * bytes.byteLength) / wanted.length / 4;
    top.logSumExp = floats[at] ?? NaN;
    if (!Number.isFinite(top.logSumExp)) {
      throw new OneBitError('internal', 'The GPU computed no finite logits: the driver may be faulty.');
    }
    const count = Math.min(top.wanted, found);
    top.ids = Array.from({ length: count }, (_, n) => words[at + 2 + 2 * n] ?? 0);
    top.logits = Array.from({ length: count }, (_, n) => floats[at + 3 + 2 * n] ?? 0);
  });
}

/** @throws OneBitError unsupported for a model that this engine has no kernels for */
export function requireRunnable({ kind, config }: Pick<Checkpoint, 'kind' | 'config'>): void {
  if (kind === 'full') {
    throw new OneBitError(
      'unsupported',
      'The GPU engine runs 1-bit checkpoints, and this one has full precision: use --device cpu, or quantize it first.',
    );
  }
  if (config.headDim % 2 !== 0 || config.headDim > 256) {
    throw new OneBitError(
      'unsupported',
      `The GPU engine has no attention for heads of ${config.headDim} elements (even, at most 256): use --device cpu.`,
    );
  }
}
