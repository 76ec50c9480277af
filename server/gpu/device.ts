import { OneBitError } from '../protocol/error.ts';
import {
  optionalFeatures,
  type ChosenAdapter,
  type GpuAdapterInfo,
  type OptionalFeature,
} from './adapters.ts';
import { BufferLedger } from './buffer-ledger.ts';

/**
 * No storage binding of ours is larger: every implementation of WebGPU offers this much, and a larger tensor
 * is bound in ranges.
 */
export const bindingLimit = 128 * 2 ** 20;

/** Asked for as far as the adapter goes; a device has only the standard's smallest limits otherwise. */
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const;

/**
 * One WebGPU device and the buffers made on it. Whoever opens it destroys it. What goes wrong on a GPU is
 * told late: `check` throws it, `failed` resolves with it.
 */
export class GpuDevice {
  readonly info: GpuAdapterInfo;
  /** Those of the optional features that this device has. */
  readonly features: ReadonlySet<OptionalFeature>;
  /** Resolves when the device is gone: reason `destroyed` by us, `unknown` by the driver. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  /** Resolves at the first command that the device refused, or when the driver takes it away. */
  readonly failed: Promise<OneBitError>;
  /** Bytes and buffers by part. */
  readonly ledger: BufferLedger;
  private failure: OneBitError | undefined;
  private scopes: Promise<unknown> = Promise.resolve();

  private constructor(
    info: GpuAdapterInfo,
    readonly device: GPUDevice,
  ) {
    this.info = info;
    this.features = new Set(optionalFeatures.filter((feature) => device.features.has(feature)));
    this.lost = device.lost;
    this.ledger = new BufferLedger(device);
    this.failed = new Promise((resolve) => {
      const fail = (error: OneBitError) => {
        this.failure ??= error;
        resolve(this.failure);
      };
      device.addEventListener('uncapturederror', (event) => {
        fail(gpuError(info.name, (event as GPUUncapturedErrorEvent).error));
      });
      void device.lost.then(({ reason, message }) => {
        fail(new OneBitError('gpu-lost', `The GPU ${info.name} was lost (${reason}): ${message}`));
      });
    });
  }

  /**
   * @param without optional features to leave out, as tests of the plain kernels do
   * @throws OneBitError gpu-missing where the driver gives no device
   */
  static async open(
    { info, adapter }: ChosenAdapter,
    { without = [] }: { without?: OptionalFeature[] } = {},
  ): Promise<GpuDevice> {
    const requiredFeatures = info.features.filter((feature) => !without.includes(feature));
    const requiredLimits = Object.fromEntries(wantedLimits.map((limit) => [limit, adapter.limits[limit]]));
    try {
      const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
      return new GpuDevice(info, device);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new OneBitError('gpu-missing', `The GPU ${info.name} gives no device: ${reason}`, {
        cause: error,
      });
    }
  }

  get queue(): GPUQueue {
    return this.device.queue;
  }

  /** Throws the first thing that went wrong on the device: results after it are not to be trusted. */
  check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /**
   * Runs work that makes buffers, pipelines or bind groups, and throws what the device refused of it.
   * Scopes are a stack of the device's, so one piece of work waits for the other.
   * @throws OneBitError out-of-memory, or internal for a command that is not valid
   */
  scoped<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    const run = this.scopes.then(() => this.inScope(what, work));
    this.scopes = run.catch(() => undefined);
    return run;
  }

  private async inScope<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    this.check();
    for (const filter of ['validation', 'internal', 'out-of-memory'] as const) {
      this.device.pushErrorScope(filter);
    }
    let result: T | undefined;
    let thrown: unknown;
    try {
      result = await work();
    } catch (error) {
      thrown = error ?? new OneBitError('internal', `${what} failed.`);
    }
    // The last pushed is popped first. An out-of-memory error makes later commands invalid: it is the cause.
    const scopes = [this.device.popErrorScope(), this.device.popErrorScope(), this.device.popErrorScope()];
    const errors = await Promise.allSettled(scopes);
    for (const error of errors) {
      if (error.status === 'fulfilled' && error.value !== null) {
        throw gpuError(`${this.info.name}, ${what}`, error.value);
      }
    }
    if (thrown !== undefined) throw thrown;
    this.check();
    return result as T;
  }

  /** Destroys the ledger's buffers, so that their memory goes back to the system, and the device. */
  destroy(): void {
    this.ledger.release();
    this.device.destroy();
  }
}

function gpuError(where: string, error: GPUError): OneBitError {
  const isMemory = error instanceof GPUOutOfMemoryError;
  return new OneBitError(
    isMemory ? 'out-of-memory' : 'internal',
    isMemory
      ? `The GPU's memory is full (${where}): use a shorter --context, a smaller model, or --device cpu. ${error.message}`
      : `The GPU refused a command (${where}): ${error.message}`,
    { cause: error },
  );
}
