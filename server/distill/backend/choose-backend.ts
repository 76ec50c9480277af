import { nativeAddon, nativeFailure } from '../../native/addon.ts';
import { OneBitError } from '../../protocol/error.ts';
import { registerNativeBackend } from './native-backend.ts';
import type { TrainingAddon } from './training-addon.ts';
import { tf } from './tfjs.ts';

export type BackendChoice = 'auto' | 'native' | 'cpu';

export interface ChosenBackend {
  name: 'native' | 'cpu';
  /** For a log: the instruction set and threads, or why it is the slow one. */
  description: string;
  /** Something the user should know: training will be slow, and what to do. */
  notice?: string;
}

/**
 * Sets the tfjs backend that trains. `auto` takes the native kernels where they are built.
 *
 * @throws OneBitError native-missing if `native` was asked for and the addon is not there.
 */
export async function chooseBackend(choice: BackendChoice = 'auto'): Promise<ChosenBackend> {
  const addon = choice === 'cpu' ? undefined : nativeAddon<TrainingAddon>();
  if (addon !== undefined) {
    registerNativeBackend(addon);
    await activate('native');
    return {
      name: 'native',
      description: `native kernels (${addon.isa}, ${addon.threads()} threads)`,
    };
  }
  if (choice === 'native') {
    throw new OneBitError('native-missing', `The native training kernels are ${nativeFailure()}.`);
  }
  await activate('cpu');
  // Keeps tfjs from advertising another package at the first write.
  (tf.backend() as unknown as { firstUse: boolean }).firstUse = false;
  if (choice === 'cpu') return { name: 'cpu', description: 'plain JavaScript (cpu)' };
  return {
    name: 'cpu',
    description: `plain JavaScript (cpu), because the native kernels are ${nativeFailure()}`,
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
