import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { nativeAddon, requireNativeAddon } from '../native/addon.ts';
import type { EngineAddon } from './cpu/native-bindings.ts';
import { NativeEngine } from './cpu/native-engine.ts';
import { PortableEngine } from './cpu/portable-engine.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { openOnGpu } from './open-on-gpu.ts';

export interface OpenControl {
  signal?: AbortSignal;
  onProgress?: OnProgress;
  /** Where the model runs, where that was not what was asked for; called again if it moves. */
  onNotice?: (message: string) => void;
}

/**
 * Opens a checkpoint (or takes an opened one, which stays the caller's to close) and loads it into
 * an engine. Throws what openCheckpoint throws; what openOnGpu throws for a GPU that was asked for; native-missing (path: 'native'
 * without the addon), bad-value (NaN in a tensor, option out of range), cancelled.
 */
export async function openEngine(
  source: Checkpoint | string,
  options: EngineOptions = {},
  control: OpenControl = {},
): Promise<Engine> {
  const { signal, onProgress } = control;
  const checkpoint = typeof source === 'string' ? await openCheckpoint(source, signal) : source;
  try {
    const contextLength = boundedOption(
      'contextLength',
      options.contextLength ?? checkpoint.config.maxPositions,
      checkpoint.config.maxPositions,
    );
    const sequences = boundedOption('sequences', options.sequences ?? 8, 1024);
    const { device = 'cpu', exact = false } = options;
    let reason: string | undefined;
    // Who names a CPU engine wants the CPU.
    const namesEngine = options.path !== undefined && options.path !== 'auto';
    if (device !== 'cpu' && !(device === 'auto' && namesEngine)) {
      const openBackup = (_reason: string, signal: AbortSignal) =>
        openEngine(checkpoint.path, { ...options, device: 'cpu' }, { ...control, signal });
      const request = { device, contextLength, sequences, exact, journal: options.gpuJournal, openBackup };
      const engine = await openOnGpu(checkpoint, request, control);
      if (!('reason' in engine)) return engine;
      ({ reason } = engine);
    }
    const addon = chooseAddon(options);
    if (addon === undefined) {
      return await PortableEngine.load(checkpoint, { contextLength, sequences, reason }, signal, onProgress);
    }
    if (options.threads !== undefined) addon.setThreads(boundedOption('threads', options.threads, 256));
    return await NativeEngine.load(
      addon,
      checkpoint,
      { contextLength, sequences, exact, headBits: options.headBits, reason },
      signal,
      onProgress,
    );
  } finally {
    if (typeof source === 'string') await checkpoint.close();
  }
}

function chooseAddon({ path }: EngineOptions): EngineAddon | undefined {
  if (path === 'portable') return undefined;
  return path === 'native' ? requireNativeAddon<EngineAddon>() : nativeAddon<EngineAddon>();
}

function boundedOption(name: string, value: number, most: number): number {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new OneBitError('bad-value', `${name} is ${value}: 1 to ${most} are possible.`);
  }
  return value;
}
