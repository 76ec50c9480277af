import { Option, type Command } from 'commander';
import type { EngineOptions } from '../engine/engine.ts';
import { OneBitError } from '../protocol/error.ts';
import { integer } from './arguments.ts';

export interface EngineFlags {
  exact?: boolean;
  threads?: number;
  context?: number;
  device: string;
  path: 'auto' | 'native' | 'portable';
}

/** The options of every command that runs a model. */
export function withEngineOptions(command: Command): Command {
  return command
    .option('--exact', 'f32 activations instead of integers: slower, for comparison')
    .option('--threads <n>', 'threads; default: one a core', integer(1, 1024))
    .option('--context <n>', 'positions of the KV cache; default: what the model allows', integer(2))
    .option('--device <device>', 'auto or cpu', 'auto')
    .addOption(
      new Option('--path <path>', 'which CPU engine').choices(['auto', 'native', 'portable']).default('auto'),
    );
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
