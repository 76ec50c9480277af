import { mkdir, mkdtemp, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { exists } from './json-file.ts';
import { indexFileName, singleFileName } from './weight-folder.ts';
import { tokenizerFileNames } from './tokenizer-files.ts';

/**
 * Fails before hours of work, where their result could not be written: the folder is taken, or nothing can
 * be made beside it. `replace`: a checkpoint that is there may be replaced.
 * @throws bad-request, unreadable, no-space
 */
export async function checkOutputFolder(folder: string, { replace }: { replace: boolean }): Promise<void> {
  const target = resolve(folder);
  const parent = dirname(target);
  try {
    await mkdir(parent, { recursive: true });
    await clearAbandoned(target);
    await checkTarget(target, replace);
    // Permissions alone do not tell: the disk may be mounted read-only.
    await rmdir(await mkdtemp(join(parent, `.${basename(target)}.probe-`)));
  } catch (caught) {
    throw asOneBitError(caught, parent);
  }
}

/** What the names of unfinished outputs beside the target begin with. */
export function partialPrefix(target: string): string {
  return `.${basename(target)}.partial-`;
}

/** What stands in an output's place. */
export type Taken = 'free' | 'empty' | 'checkpoint';

/**
 * What stands in the target's place. A folder that is no checkpoint is never replaced.
 * @throws bad-request (the folder is taken), unreadable
 */
export async function checkTarget(target: string, replace: boolean): Promise<Taken> {
  let names: string[];
  try {
    names = await readdir(target);
  } catch (caught) {
    const error = asOneBitError(caught, target);
    if (caught instanceof Error && 'code' in caught && caught.code === 'ENOENT') return 'free';
    if (caught instanceof Error && 'code' in caught && caught.code === 'ENOTDIR') {
      throw new OneBitError('bad-request', `${target} is a file: choose a folder for the result.`);
    }
    throw error;
  }
  if (names.length === 0) return 'empty';
  const foreign = names.find((name) => !isOurs(name));
  if (foreign !== undefined) {
    throw new OneBitError(
      'bad-request',
      `${target} is in use (it holds ${foreign}): choose another folder for the result.`,
    );
  }
  if (!replace) {
    throw new OneBitError(
      'bad-request',
      `${target} already holds a model: choose another folder, or say that it may be replaced.`,
    );
  }
  return 'checkpoint';
}

function isOurs(name: string): boolean {
  return (
    name === 'config.json' ||
    name === 'onebit.json' ||
    name === singleFileName ||
    name === indexFileName ||
    /^model-\d{5}-of-\d{5}\.safetensors$/.test(name) ||
    (tokenizerFileNames as readonly string[]).includes(name)
  );
}

/**
 * Clears up after writers that were killed: an unfinished folder goes; a finished model that was just being
 * replaced comes back.
 */
export async function clearAbandoned(target: string): Promise<void> {
  const parent = dirname(target);
  const prefix = partialPrefix(target);
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    const [, pid, old] = /^(\d+)-[0-9a-f]{8}(\.old)?$/.exec(name.slice(prefix.length)) ?? [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    if (old !== undefined && !(await exists(target))) await rename(join(parent, name), target);
    else await rm(join(parent, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (caught) {
    return caught instanceof Error && 'code' in caught && caught.code === 'EPERM';
  }
}
