import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { nativeAddon, nativeFailure, requireNativeAddon } from '../native/addon.ts';
import type { EngineAddon } from './cpu/native-bindings.ts';
import { NativeEngine } from './cpu/native-engine.ts';
import { PortableEngine } from './cpu/portable-engine.ts';
import { wasmAddon, wasmMostBytes } from './cpu/wasm-model.ts';
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
    const { addon, notice } = chooseAddon(checkpoint, options);
    if (notice !== undefined) {
      control.onNotice?.(notice);
      reason = reason === undefined ? notice : `${reason}; ${notice}`;
    }
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

/** No addon: the TypeScript path. The notice says what the user does not get. */
function chooseAddon(
  { tensors }: Checkpoint,
  { path }: EngineOptions,
): { addon: EngineAddon | undefined; notice?: string } {
  if (path === 'portable') return { addon: undefined };
  if (path === 'native') return { addon: requireNativeAddon<EngineAddon>() };
  if (path === 'wasm') return { addon: wasmAddon };
  const addon = nativeAddon<EngineAddon>();
  if (addon !== undefined) return { addon };
  const missing = `the native kernels are ${nativeFailure()}`;
  const bytes = [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (bytes <= wasmMostBytes)
    return { addon: wasmAddon, notice: `${missing}; WebAssembly serves, more slowly` };
  const room = `${Math.floor(wasmMostBytes / 1e6)} MB`;
  return {
    addon: undefined,
    notice: `${missing}, and the model is larger than the ${room} of WebAssembly; TypeScript serves, far more slowly`,
  };
}

function boundedOption(name: string, value: number, most: number): number {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new OneBitError('bad-value', `${name} is ${value}: 1 to ${most} are possible.`);
  }
  return value;
}
