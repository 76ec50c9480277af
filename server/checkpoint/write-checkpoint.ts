import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { asOneBitError, OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import type { TensorSource } from './checkpoint.ts';
import { checkTarget, clearAbandoned, partialPrefix, type Taken } from './output-folder.ts';
import { indexFileName, singleFileName } from './weight-folder.ts';
import { sourceBytes, writeSafetensors } from './safetensors-writer.ts';
import { copyTokenizerFiles } from './tokenizer-files.ts';

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
  const partial = join(parent, `${partialPrefix(target)}${process.pid}-${randomBytes(4).toString('hex')}`);
  let taken: Taken;
  try {
    await mkdir(parent, { recursive: true });
    await clearAbandoned(target);
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
