import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu/dist/backend_webgpu.js';
import '@tensorflow/tfjs-backend-webgpu/dist/register_all_kernels.js';
import type { GpuDevice } from '../../../gpu/device.ts';
import { OneBitError } from '../../../protocol/error.ts';
import { tf } from '../tfjs.ts';

/** tfjs's `TensorInfo`, or anything else of a shape and type. */
interface Sized {
  shape: number[];
  dtype: tf.DataType;
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
      this.gpu.check();
    }
    // The backend of tfjs keeps the copy, and would hand it out after an optimizer changed the tensor in place.
    const data = this.tensorMap.has(dataId) ? this.tensorMap.get(dataId) : undefined;
    if (data?.resource !== undefined && data.resource !== null) forgetCopy(data);
    return values;
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

/** Makes tfjs's `webgpu` run on this device, once a process. The caller destroys the device. */
export function registerWebgpuBackend(gpu: GpuDevice): void {
  if (tf.engine().registryFactory['webgpu'] !== undefined) return;
  // The backend of tfjs asks whether there is WebGPU as a browser would.
  if (globalThis.navigator === undefined) Object.assign(globalThis, { navigator: {} });
  Object.assign(globalThis.navigator, { gpu: {} });
  tf.registerBackend('webgpu', () => new TrainingWebgpuBackend(gpu));
}
