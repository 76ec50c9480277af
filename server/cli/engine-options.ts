import { homedir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { EngineOptions, HeadBits } from '../engine/engine.ts';
import { CrashJournal } from '../gpu/crash-journal.ts';
import { deviceSchema, type Device } from '../protocol/device.ts';
import { stateFolder } from '../protocol/discovery.ts';
import { integer } from './arguments.ts';

export interface KernelFlags {
  exact?: boolean;
  threads?: number;
  path: 'auto' | 'native' | 'wasm' | 'portable';
  headBits?: HeadBits;
  device: Device;
}

export interface EngineFlags extends KernelFlags {
  context?: number;
}

/** Where and how an engine computes. */
export function withKernelOptions(command: Command, defaultDevice: Device = 'auto'): Command {
  return command
    .option(
      '--device <device>',
      'auto: a hardware GPU with enough memory, else the CPU; cpu; gpu; gpu:<part of a name of onebit devices>',
      device,
      defaultDevice,
    )
    .option('--exact', 'f32 activations instead of integers: slower, for comparison')
    .option(
      '--head-bits <n>',
      "8 or 16 bits a weight in the CPU's lm_head; default: 8 for 1-bit models",
      headBits,
    )
    .option('--threads <n>', 'threads; default: one a core', integer(1, 1024))
    .addOption(
      new Option('--path <path>', 'which CPU engine')
        .choices(['auto', 'native', 'wasm', 'portable'])
        .default('auto'),
    );
}

/** The options of every command that runs a model on contexts of the user's. */
export function withEngineOptions(command: Command): Command {
  return withKernelOptions(command).option(
    '--context <n>',
    'positions of the KV cache; default: what the model allows',
    integer(2),
  );
}

export function engineOptions({ context, ...flags }: EngineFlags): EngineOptions {
  return { ...kernelOptions(flags), contextLength: context };
}

export function kernelOptions({ device, exact, threads, path, headBits }: KernelFlags): EngineOptions {
  return { device, gpuJournal: gpuJournal(), exact, threads, path, headBits };
}

/** Beside the server's state: commands, jobs and the server learn from each other's crashes. */
export function gpuJournal(): CrashJournal {
  return new CrashJournal(join(stateFolder(process.env, process.platform, homedir()), 'gpu'));
}

/** Says on stderr what the user did not ask for, such as a move from a lost GPU to the CPU. */
export function printNotice(message: string): void {
  process.stderr.write(`onebit: ${message}\n`);
}

function headBits(text: string): HeadBits {
  if (text === '8') return 8;
  if (text === '16') return 16;
  throw new InvalidArgumentError('8 and 16 are possible.');
}

function device(text: string): Device {
  const checked = deviceSchema.safeParse(text);
  if (!checked.success) throw new InvalidArgumentError(checked.error.issues[0]?.message ?? '');
  return checked.data;
}
