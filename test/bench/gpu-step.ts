import { planBuffers, splitPositions, type GpuEngineShape } from '../../server/engine/webgpu/buffer-plan.ts';
import { CompiledProgram, PipelineCache } from '../../server/engine/webgpu/compiled-program.ts';
import { kernelVariant, type KernelVariant } from '../../server/engine/webgpu/kernel-source.ts';
import {
  headProgram,
  layersProgram,
  topProgram,
  tuningWithin,
  type Dispatch,
  type Tuning,
} from '../../server/engine/webgpu/step-program.ts';
import { chooseAdapter } from '../../server/gpu/adapters.ts';
import { GpuDevice } from '../../server/gpu/device.ts';
import { configOfShape, type ShapeName } from './model-shape.ts';

export interface GpuStepOptions {
  /** As `--device`. */
  device: string;
  shape: ShapeName;
  /** Rows: 1, 2, 4 or 8 sequences that decode, or more rows of one prompt. */
  rows: number;
  /** Positions in the KV cache, of a context of as many. */
  positions: number;
  repeats: number;
}

export interface KernelTime {
  kernel: string;
  /** Dispatches a step. */
  dispatches: number;
  /** Of the GPU a step; the dispatches of one kernel alone, one after the other. */
  milliseconds: number;
  /** Weights that they read. */
  bytes: number;
}

/** A model of random numbers on a GPU, to time its kernels: there are no results to look at. */
export class GpuStepBench {
  private constructor(
    readonly gpu: GpuDevice,
    private readonly shape: GpuEngineShape,
    private readonly buffers: ReadonlyMap<string, GPUBuffer>,
    private readonly options: GpuStepOptions,
  ) {}

  static async open(options: GpuStepOptions): Promise<GpuStepBench> {
    const gpu = await GpuDevice.open(await chooseAdapter(options.device, { unchecked: true }));
    const config = configOfShape(options.shape);
    const decodes = options.rows <= 8;
    const shape = {
      config,
      contextLength: options.positions,
      sequences: decodes ? options.rows : 1,
      exact: false,
    };
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffers = new Map(
      planBuffers(shape)
        .filter(({ usage }) => usage !== 'readback')
        .map(({ name, part, bytes }) => [name, gpu.ledger.create(part, bytes, usage, { label: name })]),
    );
    const bits = Uint32Array.from({ length: 2 ** 20 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 0);
    // fp16 pairs and f32 alike: small numbers of both signs.
    const halves = bits.map((word) => (word & 0x83ff83ff) | 0x2c002c00);
    const floats = Float32Array.from(bits, (word) => word / 2 ** 31 - 1);
    const ones = new Float32Array(2 ** 20).fill(1);
    for (const [name, buffer] of buffers) {
      const data = /signs/.test(name)
        ? bits
        : /head|keys|values|embedded/.test(name)
          ? halves
          : /\.[gh]$|orm$/.test(name)
            ? ones
            : floats;
      for (let at = 0; at < buffer.size; at += data.byteLength) {
        gpu.queue.writeBuffer(
          buffer,
          at,
          data as Uint32Array<ArrayBuffer>,
          0,
          Math.min(data.byteLength, buffer.size - at) / 4,
        );
      }
      await gpu.queue.onSubmittedWorkDone();
    }
    const rows = new Uint32Array(4 * options.rows);
    const wanted = new Uint32Array(8);
    for (let row = 0; row < options.rows; row++) {
      rows[4 * row] = decodes ? options.positions - 1 : options.positions - options.rows + row;
      rows[4 * row + 1] = decodes ? row : 0;
      if (decodes) wanted[row] = row;
    }
    gpu.queue.writeBuffer(buffers.get('rows') as GPUBuffer, 0, rows);
    gpu.queue.writeBuffer(buffers.get('wanted') as GPUBuffer, 0, wanted);
    return new GpuStepBench(gpu, shape, buffers, options);
  }

  private program(tuning: Tuning): Dispatch[] {
    const { shape, options } = this;
    const { rows, positions } = options;
    const decodes = rows <= 8;
    return [
      ...layersProgram(
        shape,
        decodes ? rows : 'prefill',
        undefined,
        decodes && positions > splitPositions,
        tuning,
      ),
      ...headProgram(shape, decodes ? rows : 1, undefined, tuning),
      ...topProgram(shape, 1),
    ];
  }

  /** The GPU's time of each kernel's dispatches of a step, and of the whole step, last. */
  async time(tuning?: Tuning, variant?: Partial<KernelVariant>): Promise<KernelTime[]> {
    const { maxComputeInvocationsPerWorkgroup } = this.gpu.device.limits;
    const program = this.program(tuning ?? tuningWithin(maxComputeInvocationsPerWorkgroup));
    const { gpu, options } = this;
    const cache = new PipelineCache(
      gpu.device,
      { ...kernelVariant({ features: gpu.features, integerDot: gpu.info.integerDot }, false), ...variant },
      (name) => this.buffers.get(name) as GPUBuffer,
    );
    const name = ({ kernel, bindings }: Dispatch) =>
      kernel.startsWith('sign') ? `${kernel} ${bindings[0]?.split('.')[2] ?? ''}` : kernel;
    const kernels = new Map<string, Dispatch[]>();
    for (const dispatch of program) {
      kernels.set(name(dispatch), [...(kernels.get(name(dispatch)) ?? []), dispatch]);
    }
    const result: KernelTime[] = [];
    // A card that was idle takes a while to come to its clock.
    const whole = await CompiledProgram.compile(program, cache);
    for (let spent = 0; spent < 150;) spent += Math.max(1, await this.pass(whole, options.repeats));
    for (const [kernel, dispatches] of [...kernels, ['step', program] as const]) {
      const compiled = await CompiledProgram.compile(dispatches, cache);
      const bytes = dispatches
        .flatMap(({ bindings }) => bindings)
        .filter((binding) => /signs|\.h$|\.g$|^head|orm$/.test(binding))
        .reduce((sum, binding) => sum + (this.buffers.get(binding)?.size ?? 0), 0);
      await this.pass(compiled, 2);
      const milliseconds = (await this.pass(compiled, options.repeats)) / options.repeats;
      result.push({ kernel, dispatches: dispatches.length, milliseconds, bytes });
    }
    gpu.check();
    return result;
  }

  /** Milliseconds of the GPU for so many runs of a program in one pass. */
  private async pass(program: CompiledProgram, repeats: number): Promise<number> {
    const { device, queue } = this.gpu;
    const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
    const resolved = device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const read = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    for (let run = 0; run < repeats; run++) program.encode(pass, this.options);
    pass.end();
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, read, 0, 16);
    queue.submit([encoder.finish()]);
    await read.mapAsync(GPUMapMode.READ);
    const [begin = 0n, end = 0n] = new BigUint64Array(read.getMappedRange().slice(0));
    querySet.destroy();
    resolved.destroy();
    read.destroy();
    return Number(end - begin) / 1e6;
  }

  close(): void {
    this.gpu.destroy();
  }
}

/** What each kernel takes of a step: one sequence, eight, and 128 tokens of a prompt. */
export async function measureGpuStep(
  device: string,
  shape: ShapeName,
): Promise<{ name: string; rows: number; kernels: KernelTime[] }[]> {
  const result = [];
  for (const rows of [1, 8, 128]) {
    const bench = await GpuStepBench.open({
      device,
      shape,
      rows,
      positions: 1000,
      repeats: rows > 8 ? 3 : 20,
    });
    result.push({ name: bench.gpu.info.name, rows, kernels: await bench.time() });
    bench.close();
  }
  return result;
}

export function gpuStepTable(shape: string, measured: Awaited<ReturnType<typeof measureGpuStep>>): string {
  return measured
    .flatMap(({ name, rows, kernels }) => [
      `A step of the ${shape} shape on ${name}, ${rows} rows, 1000 positions:`,
      '| kernel | dispatches | ms | µs each | GB/s of weights |\n| --- | --- | --- | --- | --- |\n' +
        kernels
          .map(({ kernel, dispatches, milliseconds, bytes }) =>
            [
              '',
              kernel,
              dispatches,
              milliseconds.toFixed(3),
              ((1000 * milliseconds) / dispatches).toFixed(1),
              bytes === 0 ? '' : (bytes / milliseconds / 1e6).toFixed(0),
              '',
            ].join(' | '),
          )
          .join('\n'),
    ])
    .join('\n\n');
}
