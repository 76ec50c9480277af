import { Option, type Command } from 'commander';
import type { EngineOptions } from '../engine/engine.ts';
import { OneBitError } from '../protocol/error.ts';
import { integer } from './arguments.ts';

export interface KernelFlags {
  exact?: boolean;
  threads?: number;
  path: 'auto' | 'native' | 'portable';
}

export interface EngineFlags extends KernelFlags {
  context?: number;
  device: string;
}

/** How the CPU engine computes. */
export function withKernelOptions(command: Command): Command {
  return command
    .option('--exact', 'f32 activations instead of integers: slower, for comparison')
    .option('--threads <n>', 'threads; default: one a core', integer(1, 1024))
    .addOption(
      new Option('--path <path>', 'which CPU engine').choices(['auto', 'native', 'portable']).default('auto'),
    );
}

/** The options of every command that runs a model on contexts of the user's. */
export function withEngineOptions(command: Command): Command {
  return withKernelOptions(command)
    .option('--context <n>', 'positions of the KV cache; default: what the model allows', integer(2))
    .option('--device <device>', 'auto or cpu', 'auto');
}

/** @throws unsupported for a device that this version cannot use. */
export function engineOptions(flags: EngineFlags): EngineOptions {
  if (flags.device !== 'auto' && flags.device !== 'cpu') {
    throw new OneBitError(
      'unsupported',
      `--device ${flags.device}: this version runs on the CPU; use auto or cpu.`,
    );
  }
  return { exact: flags.exact, threads: flags.threads, contextLength: flags.context, path: flags.path };
}
