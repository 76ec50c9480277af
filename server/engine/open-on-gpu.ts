import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { GpuDevice } from '../gpu/device.ts';
import type { Device } from '../protocol/device.ts';
import { chooseDevice } from './choose-device.ts';
import type { Engine } from './engine.ts';
import { FallbackEngine } from './fallback-engine.ts';
import type { OpenControl } from './open-engine.ts';
import { planGpuMemory } from './webgpu/buffer-plan.ts';
import { requireRunnable, WebGpuEngine } from './webgpu/webgpu-engine.ts';

export interface GpuRequest {
  device: Device;
  contextLength: number;
  sequences: number;
  /** f32 in the KV cache; fp16 otherwise. */
  exact: boolean;
  /** Loads the model on the CPU when the GPU is lost. */
  openBackup(reason: string, signal: AbortSignal): Promise<Engine>;
}

/**
 * Puts a model on the GPU that was asked for, with the CPU behind it: a lost device costs time, not the requests.
 * @throws OneBitError unsupported (a full-precision model), gpu-missing, out-of-memory (before anything is uploaded,
 *   with both numbers), what loading throws; cancelled
 */
export async function openOnGpu(
  checkpoint: Checkpoint,
  { device, contextLength, sequences, exact, openBackup }: GpuRequest,
  { signal, onProgress, onNotice }: OpenControl,
): Promise<Engine> {
  requireRunnable(checkpoint);
  const { totalBytes } = planGpuMemory(checkpoint.config, contextLength, sequences, exact);
  const choice = await chooseDevice(device, totalBytes);
  if (choice.kind === 'cpu') return openBackup(choice.reason ?? '', signal ?? new AbortController().signal);
  const { reason } = choice;
  const gpu = await GpuDevice.open(choice.chosen);
  try {
    const options = { contextLength, sequences, exact, reason, ownsDevice: true };
    const engine = await WebGpuEngine.load(gpu, checkpoint, options, signal, onProgress);
    return new FallbackEngine(engine, {
      reason,
      failed: gpu.failed,
      openBackup,
      onMoved: (message) => onNotice?.(message),
    });
  } catch (error) {
    gpu.destroy();
    throw error;
  }
}
