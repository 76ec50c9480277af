import type { GpuDevice } from '../../gpu/device.ts';
import {
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
import { headProgram, layersProgram, topProgram, tunings } from './step-program.ts';

/** Rows that the decode kernels are made for; a step takes the next larger one. */
const batches = [1, 2, 4, 8] as const;

const usages: Record<PlannedBuffer['usage'], () => GPUBufferUsageFlags> = {
  weights: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  scratch: () => GPUBufferUsage.STORAGE,
  input: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  output: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  readback: () => GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
};

/** Every buffer, pipeline and bind group of a model on a device, made at load; encodes its steps. */
export class ModelPrograms {
  private constructor(
    private readonly gpu: GpuDevice,
    private readonly buffers: ReadonlyMap<string, GPUBuffer>,
    private readonly shape: GpuEngineShape,
    private readonly decode: ReadonlyMap<number, CompiledProgram>,
    /** The same for long contexts; empty where the context is short. */
    private readonly splitDecode: ReadonlyMap<number, CompiledProgram>,
    private readonly prefill: CompiledProgram,
    private readonly head: ReadonlyMap<number, CompiledProgram>,
    private readonly top: ReadonlyMap<number, CompiledProgram>,
  ) {}

  /** @throws OneBitError out-of-memory, with nothing left on the device */
  static async create(gpu: GpuDevice, shape: GpuEngineShape): Promise<ModelPrograms> {
    const buffers = new Map<string, GPUBuffer>();
    try {
      await gpu.scoped('the memory of the model', () => {
        for (const { name, part, bytes, usage } of planBuffers(shape)) {
          buffers.set(name, gpu.ledger.create(part, bytes, usages[usage](), { label: name }));
        }
      });
      return await gpu.scoped('the kernels of the model', async () => {
        const variant = kernelVariant(
          { features: gpu.features, integerDot: gpu.info.integerDot },
          shape.exact,
        );
        const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = gpu.device.limits;
        const mostLanes = Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX);
        const tuning = {
          ...tunings,
          lanes: { ...tunings.lanes, row: Math.min(tunings.lanes.row, mostLanes) },
        };
        const cache = new PipelineCache(gpu.device, variant, (name) => named(buffers, name));
        const decode = new Map<number, CompiledProgram>();
        const splitDecode = new Map<number, CompiledProgram>();
        const head = new Map<number, CompiledProgram>();
        for (const batch of batches) {
          decode.set(
            batch,
            await CompiledProgram.compile(layersProgram(shape, batch, undefined, false, tuning), cache),
          );
          if (splitsAttention(shape)) {
            const program = layersProgram(shape, batch, undefined, true, tuning);
            splitDecode.set(batch, await CompiledProgram.compile(program, cache));
          }
          head.set(batch, await CompiledProgram.compile(headProgram(shape, batch), cache));
        }
        const prefill = await CompiledProgram.compile(
          layersProgram(shape, 'prefill', undefined, false, tuning),
          cache,
        );
        const top = new Map<number, CompiledProgram>();
        for (const count of [1, maxTop]) {
          top.set(count, await CompiledProgram.compile(topProgram(shape, count), cache));
        }
        return new ModelPrograms(gpu, buffers, shape, decode, splitDecode, prefill, head, top);
      });
    } catch (error) {
      gpu.ledger.destroy(...buffers.values());
      gpu.queue.submit([]);
      throw error;
    }
  }

  buffer(name: string): GPUBuffer {
    return named(this.buffers, name);
  }

  /**
   * From the embedded tokens to the last RMSNorm, for so many rows of the inputs.
   * @param positions those that the row with the longest context attends to
   */
  encodeLayers(pass: GPUComputePassEncoder, rows: number, positions: number): void {
    const isSplit = this.splitDecode.size > 0 && positions > (this.shape.splitFrom ?? splitPositions);
    const decode = isSplit ? this.splitDecode : this.decode;
    const program = rows <= maxDecodeRows ? fitting(decode, rows) : this.prefill;
    program.encode(pass, rows, positions);
  }

  /** The logits of the first so many wanted rows. */
  encodeHead(pass: GPUComputePassEncoder, rows: number): void {
    fitting(this.head, rows).encode(pass, rows);
  }

  /**
   * The `top` most likely tokens (1 or maxTop) of the first so many rows of logits, each row [1 + top] pairs: the
   * logarithm of the sum of exp(logit), then id and logit.
   */
  encodeTop(pass: GPUComputePassEncoder, rows: number, top: 1 | typeof maxTop): void {
    this.top.get(top)?.encode(pass, rows);
  }

  /** Destroys the buffers and submits once: only then their memory goes back. */
  destroy(): void {
    this.gpu.ledger.destroy(...this.buffers.values());
    this.gpu.queue.submit([]);
  }
}

function fitting(programs: ReadonlyMap<number, CompiledProgram>, rows: number): CompiledProgram {
  const batch = batches.find((size) => size >= rows) ?? maxDecodeRows;
  return programs.get(batch) as CompiledProgram;
}

function named(buffers: ReadonlyMap<string, GPUBuffer>, name: string): GPUBuffer {
  const buffer = buffers.get(name);
  if (buffer === undefined) throw new Error(`There is no buffer ${name}.`);
  return buffer;
}
