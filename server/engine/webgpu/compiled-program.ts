import { kernelBindings, kernelSource, type KernelVariant } from './kernel-source.ts';
import type { Dispatch } from './step-program.ts';

interface CompiledDispatch {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  groups: Dispatch['groups'];
}

export interface EncodedRange {
  /** Rows of the step. */
  rows: number;
  /** Positions that the row with the longest context attends to. */
  positions?: number;
  first?: number;
  end?: number;
}

/** Pipelines and bind groups; programs of one engine share them where text and bindings are the same. */
export class PipelineCache {
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  private readonly bindGroups = new Map<string, GPUBindGroup>();

  /** @param buffer the buffer of a planned name */
  constructor(
    private readonly device: GPUDevice,
    private readonly variant: KernelVariant,
    private readonly buffer: (name: string) => GPUBuffer,
  ) {}

  pipeline(dispatch: Dispatch): Promise<GPUComputePipeline> {
    const code = kernelSource(dispatch.kernel, dispatch.constants, this.variant);
    const layout = this.layout(kernelBindings(dispatch.kernel));
    let pipeline = this.pipelines.get(code);
    if (pipeline === undefined) {
      pipeline = this.device.createComputePipelineAsync({
        label: dispatch.kernel,
        layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module: this.device.createShaderModule({ label: dispatch.kernel, code }) },
      });
      this.pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  bindGroup({ kernel, bindings }: Dispatch): GPUBindGroup {
    const accesses = kernelBindings(kernel);
    const key = [accesses, ...bindings].join();
    let group = this.bindGroups.get(key);
    if (group === undefined) {
      group = this.device.createBindGroup({
        label: kernel,
        layout: this.layout(accesses),
        entries: bindings.map((name, binding) => ({ binding, resource: { buffer: this.buffer(name) } })),
      });
      this.bindGroups.set(key, group);
    }
    return group;
  }

  private layout(accesses: ('read' | 'read_write')[]): GPUBindGroupLayout {
    const key = accesses.join();
    let layout = this.layouts.get(key);
    if (layout === undefined) {
      layout = this.device.createBindGroupLayout({
        entries: accesses.map((access, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
        })),
      });
      this.layouts.set(key, layout);
    }
    return layout;
  }
}

/** Dispatches with their pipelines and bind groups: encoding one makes nothing but the commands. */
export class CompiledProgram {
  private constructor(private readonly dispatches: CompiledDispatch[]) {}

  get length(): number {
    return this.dispatches.length;
  }

  /**
   * Pipelines are compiled side by side, where the driver does so.
   * @throws OneBitError internal for what the driver does not compile
   */
  static async compile(program: Dispatch[], cache: PipelineCache): Promise<CompiledProgram> {
    return new CompiledProgram(
      await Promise.all(
        program.map(async (dispatch) => ({
          pipeline: await cache.pipeline(dispatch),
          bindGroup: cache.bindGroup(dispatch),
          groups: dispatch.groups,
        })),
      ),
    );
  }

  /** Encodes the dispatches from `first` to `end`, all of them by default. */
  encode(
    pass: GPUComputePassEncoder,
    { rows, positions = 1, first = 0, end = this.length }: EncodedRange,
  ): void {
    for (let i = first; i < end; i++) {
      const { pipeline, bindGroup, groups } = this.dispatches[i] as CompiledDispatch;
      const [x, y = 1, z] = groups;
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(
        x === 'rows' ? rows : x,
        y === 'rows' ? rows : y === 'tiles' ? Math.ceil(rows / 32) : y,
        z === undefined ? 1 : Math.ceil(positions / z.positions),
      );
    }
  }
}
