import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { asOneBitError, OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import type { TensorSource } from './checkpoint.ts';
import { exists } from './json-file.ts';
import { indexFileName, singleFileName } from './safetensors-folder.ts';
import { sourceBytes, writeSafetensors } from './safetensors-writer.ts';
import { copyTokenizerFiles, tokenizerFileNames } from './tokenizer-files.ts';

const defaultShardBytes = 4 * 2 ** 30;

export interface WriteCheckpointOptions {
  /** config.json (see `hfConfigJson`). */
  config: Record<string, unknown>;
  /** Asked for one by one, in this order. */
  tensors: readonly TensorSource[];
  /** A model whose tokenizer files are copied; its folder, its file, or a tokenizer file. */
  tokenizerFrom?: string;
  /** onebit.json: how the model was made. */
  onebit?: Record<string, unknown>;
  /** Replace a checkpoint that is there already, once the new one is complete. */
  replace?: boolean;
  /** A file larger than this is split, with an index. */
  maxShardBytes?: number;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/**
 * Writes a checkpoint folder, whole or not at all: everything goes into a hidden folder beside it, is
 * synced to the disk, and then renamed. Whatever fails, what was there before is still there, and the
 * unfinished folder is gone.
 * @throws bad-request (the folder is taken), no-space, unreadable, cancelled, or what a tensor's source throws
 */
export async function writeCheckpoint(folder: string, options: WriteCheckpointOptions): Promise<void> {
  const target = resolve(folder);
  const parent = dirname(target);
  throwIfCancelled(options.signal);
  const partialPrefix = `.${basename(target)}.partial-`;
  const partial = join(parent, `${partialPrefix}${process.pid}-${randomBytes(4).toString('hex')}`);
  let taken: Taken;
  try {
    await mkdir(parent, { recursive: true });
    await clearAbandoned(target, partialPrefix);
    taken = await checkTarget(target, options.replace ?? false);
    await mkdir(partial);
  } catch (caught) {
    throw asOneBitError(caught, parent);
  }
  try {
    await checkSpace(parent, options.tensors);
    await writeTensors(partial, options);
    await writeJson(join(partial, 'config.json'), options.config);
    if (options.onebit !== undefined) await writeJson(join(partial, 'onebit.json'), options.onebit);
    if (options.tokenizerFrom !== undefined) await copyTokenizerFiles(options.tokenizerFrom, partial);
    await syncFolder(partial);
    throwIfCancelled(options.signal);
    await moveInto(partial, target, taken);
    await syncFolder(parent);
  } catch (caught) {
    await rm(partial, { recursive: true, force: true });
    throw asOneBitError(caught, target);
  }
}

type Taken = 'free' | 'empty' | 'checkpoint';

/** What stands in the target's place. A folder that is no checkpoint is never replaced. */
async function checkTarget(target: string, replace: boolean): Promise<Taken> {
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
async function clearAbandoned(target: string, prefix: string): Promise<void> {
  const parent = dirname(target);
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

/** Fails before hours of work, where the disk could not hold the result. */
async function checkSpace(folder: string, tensors: readonly TensorSource[]): Promise<void> {
  const needed = tensors.reduce((sum, tensor) => sum + sourceBytes(tensor), 0);
  const disk = await statfs(folder);
  const free = disk.bavail * disk.bsize;
  if (free < needed) {
    throw new OneBitError(
      'no-space',
      `No space left on the disk of ${folder}: the model needs ${megabytes(needed)} and ${megabytes(free)} are free. Free some, or choose another folder.`,
    );
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

async function writeTensors(folder: string, options: WriteCheckpointOptions): Promise<void> {
  const { tensors, signal, onProgress } = options;
  const total = tensors.reduce((sum, tensor) => sum + sourceBytes(tensor), 0);
  let done = 0;
  const onTensor = (tensor: TensorSource, bytes: number) => {
    done += bytes;
    onProgress?.({ phase: 'write', done, total, unit: 'bytes', message: tensor.name });
  };
  const shards = split(tensors, options.maxShardBytes ?? defaultShardBytes);
  if (shards.length === 1) {
    await writeSafetensors(join(folder, singleFileName), tensors, { signal, onTensor });
    return;
  }
  const weightMap: Record<string, string> = {};
  const padded = (n: number) => String(n).padStart(5, '0');
  for (const [index, shard] of shards.entries()) {
    const name = `model-${padded(index + 1)}-of-${padded(shards.length)}.safetensors`;
    await writeSafetensors(join(folder, name), shard, { signal, onTensor });
    for (const tensor of shard) weightMap[tensor.name] = name;
  }
  await writeJson(join(folder, indexFileName), { metadata: { total_size: total }, weight_map: weightMap });
}

/** Consecutive tensors, as many to a shard as fit. */
function split(tensors: readonly TensorSource[], maxBytes: number): TensorSource[][] {
  const shards: TensorSource[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const size = sourceBytes(tensor);
    if (bytes > 0 && bytes + size > maxBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)?.push(tensor);
    bytes += size;
  }
  return shards;
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`, { flush: true });
}

/** Makes the names in a folder durable; Windows cannot, and does not need it. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function moveInto(partial: string, target: string, taken: Taken): Promise<void> {
  if (taken === 'empty') await rmdir(target);
  if (taken !== 'checkpoint') {
    await rename(partial, target);
    return;
  }
  const old = `${partial}.old`;
  await rename(target, old);
  try {
    await rename(partial, target);
  } catch (caught) {
    await rename(old, target);
    throw caught;
  }
  await rm(old, { recursive: true, force: true });
}
