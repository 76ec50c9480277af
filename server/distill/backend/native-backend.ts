import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import type { TrainingAddon, TrainingFunctions } from './training-addon.ts';
import { registerFusedKernels } from './native-fused-kernels.ts';
import { registerTensorKernels } from './native-tensor-kernels.ts';
import { tf } from './tfjs.ts';

/**
 * A tfjs backend whose hot kernels are in the addon; every kernel of the plain `cpu` backend serves for the rest.
 * Tensors live in Float32Arrays that go back to a pool when they are disposed, so that a training step
 * allocates nothing once the first has run.
 */
export class NativeBackend extends MathBackendCPU {
  readonly kernels: TrainingFunctions;
  private readonly pool = new Map<number, Float32Array[]>();
  private readonly pooled = new WeakSet<object>();

  constructor(addon: TrainingAddon) {
    super();
    this.kernels = addon.training;
    // Keeps tfjs from advertising another package at the first write.
    (this as unknown as { firstUse: boolean }).firstUse = false;
  }

  /** The elements of a tensor, not a copy. */
  floats(tensor: tf.TensorInfo): Float32Array {
    return this.data.get(tensor.dataId).values as Float32Array;
  }

  /** The elements of an int32 tensor, not a copy. */
  ints(tensor: tf.TensorInfo): Int32Array {
    const values = this.data.get(tensor.dataId).values;
    return values instanceof Int32Array ? values : Int32Array.from(values as unknown as number[]);
  }

  /** A new f32 tensor with undefined contents. */
  allocate(shape: number[]): tf.TensorInfo {
    return super.makeTensorInfo(shape, 'float32', this.buffer(tf.util.sizeFromShape(shape)));
  }

  /** A new f32 scalar. */
  scalar(value: number): tf.TensorInfo {
    const buffer = this.buffer(1);
    buffer[0] = value;
    return super.makeTensorInfo([], 'float32', buffer);
  }

  private buffer(size: number): Float32Array {
    const free = this.pool.get(size)?.pop();
    if (free !== undefined) return free;
    const made = this.kernels.floats(size);
    this.pooled.add(made);
    return made;
  }

  /** Copies: what the caller passed stays the caller's, though optimizers change tensors in place. */
  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object {
    if (dtype === 'float32' && values instanceof Float32Array && !this.pooled.has(values)) {
      const own = this.buffer(values.length);
      own.set(values);
      values = own;
    }
    return super.write(values, shape, dtype);
  }

  override disposeData(dataId: object, force = false): boolean {
    const values = this.data.has(dataId) ? this.data.get(dataId).values : undefined;
    const released = super.disposeData(dataId, force);
    if (values instanceof Float32Array && this.pooled.has(values) && !this.data.has(dataId)) {
      const free = this.pool.get(values.length);
      if (free === undefined) this.pool.set(values.length, [values]);
      else free.push(values);
    }
    return released;
  }

  /** A copy: the buffer itself will hold something else one day. */
  override readSync(dataId: object): tf.BackendValues {
    const values = super.readSync(dataId);
    return this.pooled.has(values as object) ? (values as Float32Array).slice() : values;
  }

  override read(dataId: object): Promise<tf.BackendValues> {
    return Promise.resolve(this.readSync(dataId));
  }

  /** Bytes that wait in the pool. */
  pooledBytes(): number {
    let bytes = 0;
    for (const [size, buffers] of this.pool) bytes += size * 4 * buffers.length;
    return bytes;
  }

  /** Gives the pool's memory back to the garbage collector. */
  trim(): void {
    this.pool.clear();
  }
}

/** Registers the backend `native` with all of its kernels, once. */
export function registerNativeBackend(addon: TrainingAddon): void {
  if (tf.engine().registryFactory['native'] !== undefined) return;
  tf.registerBackend('native', () => new NativeBackend(addon), 3);
  for (const kernel of tf.getKernelsForBackend('cpu'))
    tf.registerKernel({ ...kernel, backendName: 'native' });
  registerTensorKernels();
  registerFusedKernels();
}
