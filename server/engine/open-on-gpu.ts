import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { searchForGpus, type CrashJournal } from '../gpu/crash-journal.ts';
import { GpuDevice } from '../gpu/device.ts';
import type { Device } from '../protocol/device.ts';
import { asOneBitError, type ErrorCode } from '../protocol/error.ts';
import { chooseDevice } from './choose-device.ts';
import type { Engine } from './engine.ts';
import { FallbackEngine } from './fallback-engine.ts';
import type { OpenControl } from './open-engine.ts';
import { planGpuMemory } from './webgpu/buffer-plan.ts';
import { requireRunnable, WebGpuEngine } from './webgpu/webgpu-engine.ts';

export interface GpuRequest {
  device: Exclude<Device, 'cpu'>;
  contextLength: number;
  sequences: number;
  /** f32 in the KV cache; fp16 otherwise. */
  exact: boolean;
  /** Knows the GPUs that killed a process; `auto` keeps off them. */
  journal?: CrashJournal;
  /** Loads the model on the CPU when the GPU is lost. */
  openBackup(reason: string, signal: AbortSignal): Promise<Engine>;
}

/**
 * Puts a model on a GPU, with the CPU behind it: a lost device costs time, not the requests.
 * @returns the engine, or why `auto` leaves the model to the CPU
 * @throws OneBitError for a GPU that was asked for: unsupported (a full-precision model), gpu-missing, out-of-memory
 *   (before anything is uploaded, with both numbers), what loading throws. For `auto` what is wrong with the
 *   model's files; cancelled
 */
export async function openOnGpu(
  checkpoint: Checkpoint,
  request: GpuRequest,
  control: OpenControl,
): Promise<Engine | { reason: string }> {
  try {
    return await openOnDevice(checkpoint, request, control);
  } catch (caught) {
    const error = asOneBitError(caught, checkpoint.path);
    if (request.device !== 'auto' || !leavesToCpu.has(error.code)) throw error;
    return { reason: `auto: ${error.message}` };
  }
}

/** After these `auto` takes the CPU; a file that is damaged is so on the CPU too. */
const leavesToCpu: ReadonlySet<ErrorCode> = new Set([
  'unsupported',
  'gpu-missing',
  'gpu-lost',
  'out-of-memory',
  'internal',
]);

async function openOnDevice(
  checkpoint: Checkpoint,
  { device, contextLength, sequences, exact, journal, openBackup }: GpuRequest,
  { signal, onProgress, onNotice }: OpenControl,
): Promise<Engine | { reason: string }> {
  requireRunnable(checkpoint);
  const { totalBytes } = planGpuMemory(checkpoint.config, contextLength, sequences, exact);
  const choice = await chooseDevice(device, totalBytes, journal);
  if (choice.kind === 'cpu') return { reason: choice.reason ?? '' };
  const { reason } = choice;
  const use = journal?.begin(choice.chosen.info);
  const gpu = await GpuDevice.open(choice.chosen).catch((error: unknown) => {
    use?.end();
    throw error;
  });
  const wasNamed = device !== 'auto';
  void gpu.lost.then(({ reason }) => {
    use?.end();
    if (wasNamed && reason === 'destroyed') journal?.forgive(gpu.info);
  });
  try {
    const options = { contextLength, sequences, exact, reason, ownsDevice: true, compilesAhead: true };
    const engine = await WebGpuEngine.load(gpu, checkpoint, options, signal, onProgress);
    use?.computes();
    if (wasNamed) [gpu.info, searchForGpus].forEach((it) => journal?.forgive(it, 'opening'));
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
