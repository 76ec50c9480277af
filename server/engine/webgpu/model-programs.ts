import type { GpuDevice } from '../../gpu/device.ts';
import {
  attentionChunks,
  cacheBanks,
  maxDecodeRows,
  maxTop,
  planBuffers,
  splitPositions,
  splitsAttention,
  type GpuEngineShape,
  type PlannedBuffer,
} from './buffer-plan.ts';
import { CompiledProgram, PipelineCache } from './compiled-program.ts';
import { kernelVariant } from './kernel-source.ts';
import {
  copyProgram,
  headProgram,
  layersProgram,
  topProgram,
  tuningWithin,
  type Dispatch,
} from './step-program.ts';

/** Rows that the decode kernels are made for; a step takes the next larger one. */
const batches = [1, 2, 4, 8] as const;

const usages: Record<PlannedBuffer['usage'], () => GPUBufferUsageFlags> = {
  weights: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  scratch: () => GPUBufferUsage.STORAGE,
  cache: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  input: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  output: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  readback: () => GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
};

/** What the commands of a step depend on, beside what stands in its buffers. */
export interface StepShape {
  /** Rows that go through the layers; 0 where they have run. */
  rows: number;
  /** Positions that the row with the longest context attends to. */
  positions: number;
  /** Rows whose logits are made. */
  wanted: number;
  /** Most likely tokens that are looked for. */
  top: 0 | 1 | typeof maxTop;
  /** Whether the logits themselves are read back. */
  readsLogits: boolean;
}

/** A program of a step, and its rows. */
export interface StepProgram {
  program: CompiledProgram;
  rows: number;
}

/**
 * Every buffer of a model on a device, made at load, and its pipelines and bind groups. Those that every completion needs are
 * compiled at load; the others when they are first needed, or by `compileAll`.
 */
export class ModelPrograms {
  private readonly compiled = new Map<string, CompiledProgram>();
  private readonly compiling = new Map<string, Promise<CompiledProgram>>();
  private readonly cache: PipelineCache;
  /** The dispatches of each program, by a name. */
  private readonly programs: ReadonlyMap<string, () => Dispatch[]>;

  private constructor(
    private readonly gpu: GpuDevice,
    private readonly buffers: ReadonlyMap<string, GPUBuffer>,
    private readonly shape: GpuEngineShape,
  ) {
    const variant = kernelVariant({ features: gpu.features, integerDot: gpu.info.integerDot }, shape.exact);
    this.cache = new PipelineCache(gpu.device, variant, (name) => named(buffers, name));
    const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = gpu.device.limits;
    const tuning = tuningWithin(Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX));
    const layers = (batch: number | 'prefill', isSplit: boolean) => () =>
      layersProgram(shape, batch, undefined, isSplit, tuning);
    this.programs = new Map([
      ['prefill', layers('prefill', false)],
      ...batches.flatMap((batch): [string, () => Dispatch[]][] => [
        [`decode ${batch}`, layers(batch, false)],
        ...(splitsAttention(shape)
          ? [[`split ${batch}`, layers(batch, true)] as [string, () => Dispatch[]]]
          : []),
        [`head ${batch}`, () => headProgram(shape, batch, undefined, tuning)],
      ]),
      ...[1, maxTop].map((top): [string, () => Dispatch[]] => [`top ${top}`, () => topProgram(shape, top)]),
      ...cacheBanks(shape).map((_, bank): [string, () => Dispatch[]] => [
        `copy ${bank}`,
        () => copyProgram(shape, bank),
      ]),
    ]);
  }

  /** @throws OneBitError out-of-memory, with nothing left on the device */
  static async create(gpu: GpuDevice, shape: GpuEngineShape): Promise<ModelPrograms> {
    const buffers = new Map<string, GPUBuffer>();
    try {
      await gpu.scoped('the memory of the model', () => {
        for (const { name, part, bytes, usage } of planBuffers(shape)) {
          buffers.set(name, gpu.ledger.create(part, bytes, usages[usage](), { label: name }));
        }
      });
      const programs = new ModelPrograms(gpu, buffers, shape);
      // Side by side: a driver takes a second or more for them, on one core.
      await programs.compileScoped('decode 1', 'head 1', 'prefill');
      return programs;
    } catch (error) {
      gpu.ledger.destroy(...buffers.values());
      gpu.queue.submit([]);
      throw error;
    }
  }

  buffer(name: string): GPUBuffer {
    return named(this.buffers, name);
  }

  /** The programs of a step, in order. Those that nothing has needed yet are compiled first. */
  async ofStep(step: StepShape): Promise<StepProgram[]> {
    const compiled = this.compiledOfStep(step);
    if (compiled !== undefined) return compiled;
    const names = this.namesOf(step);
    const programs = await this.compileScoped(...names.map(([name]) => name));
    return names.map(([, rows], i) => ({ program: programs[i] as CompiledProgram, rows }));
  }

  /** The same, or undefined where one is not compiled yet. */
  compiledOfStep(step: StepShape): StepProgram[] | undefined {
    const found = this.namesOf(step).map(([name, rows]) => ({ program: this.compiled.get(name), rows }));
    return found.every((each): each is StepProgram => each.program !== undefined) ? found : undefined;
  }

  /** Compiles whatever is left, one after the other; ends early, without an error, when aborted. */
  async compileAll(signal: AbortSignal): Promise<void> {
    for (const name of this.programs.keys()) {
      if (signal.aborted) return;
      await this.compileScoped(name);
    }
  }

  /** Copies positions within a bank of the KV cache, as `rows` says. */
  async copiesWithin(bank: number): Promise<CompiledProgram> {
    const [program] = await this.compileScoped(`copy ${bank}`);
    return program as CompiledProgram;
  }

  /** Parts that attention is cut into for such a step; 0 where it is not. */
  attentionParts({ rows, positions }: StepShape): number {
    const { contextLength, splitFrom = splitPositions } = this.shape;
    if (!splitsAttention(this.shape) || rows > maxDecodeRows || positions <= splitFrom) return 0;
    return Math.ceil(positions / attentionChunks(contextLength).positions);
  }

  /** Destroys the buffers and submits once: only then their memory goes back. */
  destroy(): void {
    this.gpu.ledger.destroy(...this.buffers.values());
    this.gpu.queue.submit([]);
  }

  /** Names of a step's programs, each with its rows. */
  private namesOf(step: StepShape): [string, number][] {
    const { rows, wanted, top } = step;
    const layers =
      rows > maxDecodeRows
        ? 'prefill'
        : `${this.attentionParts(step) === 0 ? 'decode' : 'split'} ${batchFor(rows)}`;
    return [
      ...(rows > 0 ? [[layers, rows] as [string, number]] : []),
      ...(wanted > 0 ? [[`head ${batchFor(wanted)}`, wanted] as [string, number]] : []),
      ...(top > 0 ? [[`top ${top}`, wanted] as [string, number]] : []),
    ];
  }

  /** @throws OneBitError internal for a kernel that the driver refuses; the next call does so again */
  private compileScoped(...names: string[]): Promise<CompiledProgram[]> {
    return this.gpu.scoped('the kernels of the model', () =>
      Promise.all(names.map((name) => this.compile(name))),
    );
  }

  private compile(name: string): Promise<CompiledProgram> {
    let compiling = this.compiling.get(name);
    if (compiling === undefined) {
      const program = this.programs.get(name);
      if (program === undefined) throw new Error(`There is no program ${name}.`);
      compiling = CompiledProgram.compile(program(), this.cache).then((done) => {
        this.compiled.set(name, done);
        return done;
      });
      this.compiling.set(name, compiling);
    }
    return compiling;
  }
}

function batchFor(rows: number): number {
  return batches.find((size) => size >= rows) ?? maxDecodeRows;
}

function named(buffers: ReadonlyMap<string, GPUBuffer>, name: string): GPUBuffer {
  const buffer = buffers.get(name);
  if (buffer === undefined) throw new Error(`There is no buffer ${name}.`);
  return buffer;
}
