import { chooseAdapter, type ChosenAdapter } from '../../gpu/adapters.ts';
import { searchForGpus, type CrashJournal } from '../../gpu/crash-journal.ts';
import { GpuDevice } from '../../gpu/device.ts';
import { nativeAddon, nativeFailure } from '../../native/addon.ts';
import { asOneBitError, OneBitError } from '../../protocol/error.ts';
import { tensorflowPackage } from '../../protocol/training-backend.ts';
import { registerNativeBackend } from './native-backend.ts';
import { loadTensorflow } from './tensorflow-backend.ts';
import type { TrainingAddon } from './training-addon.ts';
import { tf } from './tfjs.ts';

export interface ChosenBackend {
  name: 'native' | 'webgpu' | 'tensorflow' | 'cpu';
  /** What `chooseBackend` takes to choose the same again. */
  option: string;
  /** For a log: the instruction set and threads, or the GPU. */
  description: string;
  /** Why it is not one that comes before it; empty where it was asked for by name. */
  reasons: string[];
  /** Something the user should know: training will be slow, and what to do. */
  notice?: string;
  /** Gives the GPU back; the process cannot train after it. */
  dispose(): void;
}

const nothing = (): void => {};

/**
 * Sets the tfjs backend that trains.
 *
 * @param choice see trainingBackendSchema. `auto` takes the first that works of the CUDA backend with a GPU, WebGPU on a
 *   hardware adapter (never a software one), the native kernels, and plain JavaScript.
 * @param journal of processes that GPUs killed, which `auto` keeps off
 * @throws OneBitError native-missing or gpu-missing where the one that was asked for by name does not work
 */
export async function chooseBackend(choice = 'auto', journal?: CrashJournal): Promise<ChosenBackend> {
  if (choice === 'native') return useNative([]);
  if (choice === 'cpu') return useCpu([]);
  if (choice === 'tensorflow') return useTensorflow();
  if (choice !== 'auto') {
    const adapter = await chooseAdapter(choice.replace(/^webgpu/, 'gpu'));
    const chosen = await useWebgpu(adapter, [], journal);
    journal?.forgive(adapter.info, 'opening');
    return chosen;
  }

  const reasons: string[] = [];
  const obstacle = cudaObstacle();
  if (obstacle === undefined) return useTensorflow();
  reasons.push(`${obstacle}.`);
  try {
    const adapter = await hardwareAdapter(journal);
    if (typeof adapter !== 'string') return await useWebgpu(adapter, reasons, journal);
    reasons.push(`${adapter}.`);
  } catch (error) {
    reasons.push(asOneBitError(error).message);
  }
  return nativeAddon() === undefined ? useCpu(reasons) : useNative(reasons);
}

/** Loads the CUDA backend, and says why it cannot train here if so. */
function cudaObstacle(): string | undefined {
  const loaded = loadTensorflow();
  if ('missing' in loaded) return loaded.missing;
  return loaded.usesGpu ? undefined : 'the CUDA backend finds no GPU that it can use';
}

async function useTensorflow(): Promise<ChosenBackend> {
  const obstacle = cudaObstacle();
  if (obstacle !== undefined) {
    throw new OneBitError(
      'gpu-missing',
      `The backend tensorflow cannot train here: ${obstacle}. It needs ${tensorflowPackage.needs}. ` +
        'Install it with the command "OneBit: Install the CUDA Backend" or ' +
        `npm install ${tensorflowPackage.name}@${tensorflowPackage.version}, or use --backend auto.`,
    );
  }
  await activate('tensorflow');
  return {
    name: 'tensorflow',
    option: 'tensorflow',
    description: `TensorFlow on CUDA (${tensorflowPackage.name})`,
    reasons: [],
    dispose: nothing,
  };
}

/** The best hardware GPU, or why it is left alone. */
async function hardwareAdapter(journal: CrashJournal | undefined): Promise<ChosenAdapter | string> {
  const crashed = journal?.avoid(searchForGpus);
  if (crashed !== undefined) return crashed;
  const search = journal?.begin(searchForGpus);
  const adapter = await chooseAdapter('gpu').finally(() => search?.end());
  return journal?.avoid(adapter.info) ?? adapter;
}

async function useWebgpu(
  adapter: ChosenAdapter,
  reasons: string[],
  journal: CrashJournal | undefined,
): Promise<ChosenBackend> {
  const use = journal?.begin(adapter.info);
  const gpu = await GpuDevice.open(adapter).catch((error: unknown) => {
    use?.end();
    throw error;
  });
  void gpu.lost.then(() => use?.end());
  try {
    // Loaded here: tfjs's WebGPU backend is large, and needs the names that Dawn brings.
    const { registerWebgpuBackend } = await import('./webgpu/register-webgpu.ts');
    registerWebgpuBackend(gpu);
    await activate('webgpu');
    use?.computes();
  } catch (error) {
    gpu.destroy();
    throw error;
  }
  const { name, kind } = gpu.info;
  return {
    name: 'webgpu',
    option: `webgpu:${name}`,
    description: `WebGPU on ${name} (${kind})`,
    reasons,
    dispose: () => {
      tf.removeBackend('webgpu');
      gpu.destroy();
    },
  };
}

async function useNative(reasons: string[]): Promise<ChosenBackend> {
  const addon = nativeAddon<TrainingAddon>();
  if (addon === undefined) {
    throw new OneBitError('native-missing', `The native training kernels are ${nativeFailure()}.`);
  }
  registerNativeBackend(addon);
  await activate('native');
  return {
    name: 'native',
    option: 'native',
    description: `native kernels (${addon.isa}, ${addon.threads()} threads)`,
    reasons,
    dispose: nothing,
  };
}

async function useCpu(reasons: string[]): Promise<ChosenBackend> {
  await activate('cpu');
  // Keeps tfjs from advertising another package at the first write.
  (tf.backend() as unknown as { firstUse: boolean }).firstUse = false;
  const chosen = {
    name: 'cpu',
    option: 'cpu',
    description: 'plain JavaScript (cpu)',
    dispose: nothing,
  } as const;
  if (reasons.length === 0) return { ...chosen, reasons };
  return {
    ...chosen,
    reasons: [...reasons, `the native kernels are ${nativeFailure()}.`],
    notice:
      `Training runs in plain JavaScript, about a hundred times slower: the native kernels are ${nativeFailure()}. ` +
      'Install a C++17 compiler and run: npm run build:native',
  };
}

async function activate(name: string): Promise<void> {
  if (!(await tf.setBackend(name)))
    throw new OneBitError('internal', `The tfjs backend ${name} does not start.`);
  await tf.ready();
}
