import type { GpuDevice } from '../../gpu/device.ts';
import {
  attentionChunks,
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
import { headProgram, layersProgram, topProgram, tuningWithin, type Dispatch } from './step-program.ts';

/** Rows that the decode kernels are made for; a step takes the next larger one. */
const batches = [1, 2, 4, 8] as const;

const usages: Record<PlannedBuffer['usage'], () => GPUBufferUsageFlags> = {
  weights: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  scratch: () => GPUBufferUsage.STORAGE,
  input: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  output: () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  readback: () => GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
};

/** Every buffer, pipeline and bind group of a model on a device, made at load. */
export class ModelPrograms {
  private constructor(
    private readonly gpu: GpuDevice,
    private readonly buffers: ReadonlyMap<string, GPUBuffer>,
    private readonly shape: GpuEngineShape,
    private readonly decode: ReadonlyMap<number, CompiledProgram>,
    /** The same for long contexts; empty where the context is short. */
    private readonly splitDecode: ReadonlyMap<number, CompiledProgram>,
    private readonly prefill: CompiledProgram,
    private readonly heads: ReadonlyMap<number, CompiledProgram>,
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
        const tuning = tuningWithin(Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX));
        const cache = new PipelineCache(gpu.device, variant, (name) => named(buffers, name));
        const compile = (program: Dispatch[]) => CompiledProgram.compile(program, cache);
        const each = async <Key>(keys: readonly Key[], program: (key: Key) => Dispatch[]) =>
          new Map(await Promise.all(keys.map(async (key) => [key, await compile(program(key))] as const)));
        const layers = (batch: number | 'prefill', isSplit = false) =>
          layersProgram(shape, batch, undefined, isSplit, tuning);
        // Side by side: a driver takes a second or more for all of them, on one core.
        const [decode, splitDecode, prefill, head, top] = await Promise.all([
          each(batches, (batch) => layers(batch)),
          each(splitsAttention(shape) ? batches : [], (batch) => layers(batch, true)),
          compile(layers('prefill')),
          each(batches, (batch) => headProgram(shape, batch, undefined, tuning)),
          each([1, maxTop], (count) => topProgram(shape, count)),
        ]);
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
  layers(rows: number, positions: number): CompiledProgram {
    if (rows > maxDecodeRows) return this.prefill;
    return fitting(this.attentionParts(rows, positions) === 0 ? this.decode : this.splitDecode, rows);
  }

  /** Parts that attention is cut into for such a step; 0 where it is not. */
  attentionParts(rows: number, positions: number): number {
    const { contextLength, splitFrom = splitPositions } = this.shape;
    if (this.splitDecode.size === 0 || rows > maxDecodeRows || positions <= splitFrom) return 0;
    return Math.ceil(positions / attentionChunks(contextLength).positions);
  }

  /** The logits of the first so many wanted rows. */
  head(rows: number): CompiledProgram {
    return fitting(this.heads, rows);
  }

  /**
   * The `top` most likely tokens of rows of logits, each row [1 + top] pairs: the logarithm of the sum of exp(logit), then
   * id and logit.
   */
  search(top: 1 | typeof maxTop): CompiledProgram {
    return this.top.get(top) as CompiledProgram;
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
