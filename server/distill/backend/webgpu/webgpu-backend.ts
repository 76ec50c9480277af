import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu/dist/backend_webgpu.js';
import '@tensorflow/tfjs-backend-webgpu/dist/register_all_kernels.js';
import type { GpuDevice } from '../../../gpu/device.ts';
import { asOneBitError, OneBitError } from '../../../protocol/error.ts';
import { tf } from '../tfjs.ts';

/** tfjs's `TensorInfo`, or anything else of a shape and type. */
interface Sized {
  shape: number[];
  dtype: tf.DataType;
}

/** What tfjs's WebGPUBackend hides: shaders of ours join the pass that it records. */
interface Recording {
  commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: GPUComputePassEncoder | null;
  commandQueueOwnedIds: WeakSet<object>;
  dispatchCountInPass: number;
  uniformPendingDisposal: GPUBuffer[];
}

/** One run of a shader. */
export interface Dispatch {
  /** Names the pipeline: the same for the same source and constants. */
  key: string;
  source: string;
  constants?: Record<string, number>;
  /** Bound in this order from 0; the struct of numbers comes after them. */
  tensors: tf.TensorInfo[];
  /** The struct's u32 fields, which come first, and its f32 fields. */
  integers: number[];
  floats?: number[];
  /** Workgroups: as many in a row as a device takes, the rest in further rows; or x and y. */
  groups: number | [number, number];
}

/** What tfjs's BufferManager hides of its pool. */
interface FreeBuffers {
  freeBuffers: Map<string, GPUBuffer[]>;
  numFreeBuffers: number;
  numBytesAllocated: number;
}

/**
 * tfjs's WebGPU backend on a device of Dawn in Node, with what training needs beside it: sizes are checked
 * before a buffer is made (the backend of tfjs answers an over-sized tensor with garbage), a lost device and
 * an invalid command are errors at the next read (Dawn only prints them), what is read is not kept in main
 * memory, and the pool of free buffers can be emptied.
 */
export class TrainingWebgpuBackend extends WebGPUBackend {
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly constants = new Map<string, tf.TensorInfo>();

  constructor(private readonly gpu: GpuDevice) {
    super(gpu.device, gpu.device.adapterInfo);
  }

  override makeTensorInfo(
    shape: number[],
    dtype: tf.DataType,
    values?: tf.BackendValues | string[],
  ): tf.TensorInfo {
    this.checkSize({ shape, dtype });
    return super.makeTensorInfo(shape, dtype, values);
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object {
    this.checkSize({ shape, dtype });
    return super.write(values, shape, dtype);
  }

  /** @throws OneBitError out-of-memory for a tensor that no shader could be given */
  private checkSize({ shape, dtype }: Sized): void {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    const limit = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    const bytes = 4 * tf.util.sizeFromShape(shape);
    if (dtype === 'string' || bytes <= limit) return;
    const megabytes = (count: number) => `${Math.ceil(count / 1e6)} MB`;
    throw new OneBitError(
      'out-of-memory',
      `A tensor [${shape.join(', ')}] takes ${megabytes(bytes)}, and this GPU can be given ${megabytes(limit)} at once. ` +
        'Use a smaller --micro-batch or --window, or --backend native.',
    );
  }

  /** Throws the first thing that the device refused. */
  private check(): void {
    try {
      this.gpu.check();
    } catch (error) {
      const known = asOneBitError(error);
      if (known.code !== 'out-of-memory') throw known;
      throw new OneBitError(
        'out-of-memory',
        `The memory of ${this.gpu.info.name} is full: use a smaller --micro-batch or --window, or --backend native.`,
        { cause: error },
      );
    }
  }

  /** Values that never left main memory; the GPU's can only be waited for. */
  override readSync(dataId: object): tf.BackendValues {
    const { values } = this.tensorMap.get(dataId);
    if (values === null || values === undefined) {
      throw new OneBitError('internal', 'A tensor on the GPU was read without waiting for it.');
    }
    return values;
  }

  override async read(dataId: object): Promise<tf.BackendValues> {
    let values: tf.BackendValues;
    try {
      values = await super.read(dataId);
    } finally {
      this.check();
    }
    // The backend of tfjs keeps the copy, and would hand it out after an optimizer changed the tensor in place.
    const data = this.tensorMap.has(dataId) ? this.tensorMap.get(dataId) : undefined;
    if (data?.resource !== undefined && data.resource !== null) forgetCopy(data);
    return values;
  }

  /** A new f32 tensor with undefined contents. */
  allocate(shape: number[]): tf.TensorInfo {
    return this.makeTensorInfo(shape, 'float32');
  }

  /** Gives a tensor of a kernel's own back. */
  free(...tensors: tf.TensorInfo[]): void {
    for (const { dataId } of tensors) this.disposeData(dataId);
  }

  /** A table that is uploaded once and kept as long as the backend. */
  constant(key: string, shape: number[], values: () => Float32Array): tf.TensorInfo {
    let tensor = this.constants.get(key);
    if (tensor === undefined) {
      tensor = this.makeTensorInfo(shape, 'float32', values());
      this.constants.set(key, tensor);
    }
    return tensor;
  }

  /** Records one run of a shader beside the kernels of tfjs. */
  run({ key, source, constants, tensors, integers, floats = [], groups }: Dispatch): void {
    let pipeline = this.pipelines.get(key);
    if (pipeline === undefined) {
      const module = this.device.createShaderModule({ label: key, code: source });
      const compute = { module, entryPoint: 'main', constants };
      pipeline = this.device.createComputePipeline({ label: key, layout: 'auto', compute });
      this.pipelines.set(key, pipeline);
    }
    const recording = this as unknown as Recording;
    const entries = tensors.map(({ dataId }, binding): GPUBindGroupEntry => {
      this.uploadToGPU(dataId);
      recording.commandQueueOwnedIds.add(dataId);
      return { binding, resource: { buffer: this.tensorMap.get(dataId).resource as GPUBuffer } };
    });
    const numbers = new Uint32Array(4 * Math.ceil((integers.length + floats.length) / 4));
    numbers.set(integers);
    new Float32Array(numbers.buffer).set(floats, integers.length);
    const uniform = this.bufferManager.acquireBuffer(
      numbers.byteLength,
      GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    );
    this.queue.writeBuffer(uniform, 0, numbers);
    recording.uniformPendingDisposal.push(uniform);
    entries.push({ binding: entries.length, resource: { buffer: uniform } });
    const bindGroup = this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    this.ensureCommandEncoderReady();
    recording.computePassEncoder ??= recording.commandEncoder?.beginComputePass() ?? null;
    const pass = recording.computePassEncoder;
    pass?.setPipeline(pipeline);
    pass?.setBindGroup(0, bindGroup);
    pass?.dispatchWorkgroups(...this.inRows(groups));
    recording.dispatchCountInPass++;
    if (recording.dispatchCountInPass < tf.env().getNumber('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE')) return;
    this.endComputePassEncoder();
    this.submitQueue();
  }

  private inRows(groups: number | [number, number]): [number, number] {
    if (typeof groups !== 'number') return groups;
    const most = this.device.limits.maxComputeWorkgroupsPerDimension;
    return [Math.min(groups, most), Math.ceil(groups / most)];
  }

  /** Bytes of the card that are free; undefined where the system does not say. */
  availableBytes(): number | undefined {
    return this.gpu.info.memory.freeBytes;
  }

  /**
   * Destroys the buffers that wait to be used again. The pool keeps every size that was ever asked for: what
   * is done rarely, such as measuring, would keep its buffers for the whole run.
   */
  trim(): void {
    const pool = this.bufferManager as unknown as FreeBuffers;
    for (const buffers of pool.freeBuffers.values()) {
      for (const buffer of buffers.splice(0)) {
        pool.numFreeBuffers--;
        pool.numBytesAllocated -= buffer.size;
        buffer.destroy();
      }
    }
    // Memory comes back with the next submit.
    this.queue.submit([]);
  }
}

function forgetCopy(data: { values: tf.BackendValues | null }): void {
  data.values = null;
}
