import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import type { TensorInfo } from './checkpoint.ts';
import { exists, readJson } from './json-file.ts';
import { readSafetensorsHeader } from './safetensors-header.ts';
import type { TensorFiles } from './tensor-files.ts';

export const singleFileName = 'model.safetensors';
export const indexFileName = 'model.safetensors.index.json';
const maxIndexBytes = 100_000_000;

/** The tensors of a checkpoint by name, each with the file and range where it lies. */
export type StoredTensors = Map<string, TensorInfo>;

/** Opens one more file and adds its tensors. @throws bad-file for a tensor that two files hold */
export async function addSafetensorsFile(
  path: string,
  files: TensorFiles,
  tensors: StoredTensors,
  signal?: AbortSignal,
): Promise<TensorInfo[]> {
  const found = await readSafetensorsHeader(await files.open(path), signal);
  for (const tensor of found) {
    const other = tensors.get(tensor.name);
    if (other !== undefined) {
      throw new OneBitError(
        'bad-file',
        `Tensor ${tensor.name} is in both ${other.file} and ${path}: remove the file that does not belong here.`,
      );
    }
    tensors.set(tensor.name, tensor);
  }
  return found;
}

/**
 * Opens the safetensors files of a folder: the shards that an index names, or `model.safetensors`, or the
 * only .safetensors file there.
 * @throws not-found, bad-file, unsupported (a folder of torch .bin or GGUF files)
 */
export async function openSafetensorsFolder(
  folder: string,
  files: TensorFiles,
  signal?: AbortSignal,
): Promise<StoredTensors> {
  const tensors: StoredTensors = new Map();
  if (await exists(join(folder, indexFileName))) await addShards(folder, files, tensors, signal);
  else await addSafetensorsFile(await findSingleFile(folder), files, tensors, signal);
  return tensors;
}

async function addShards(
  folder: string,
  files: TensorFiles,
  tensors: StoredTensors,
  signal?: AbortSignal,
): Promise<void> {
  const path = join(folder, indexFileName);
  const index = await readJson(path, maxIndexBytes);
  const map =
    typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new OneBitError('bad-file', `${path} has no weight_map; copy or download it again.`);
  }
  const shards = new Map<string, string[]>();
  for (const [name, file] of Object.entries(map as Record<string, unknown>)) {
    // A bare file name only: an index must not reach outside its folder.
    if (
      typeof file !== 'string' ||
      basename(file) !== file ||
      /[\\/:\0]/.test(file) ||
      !file.endsWith('.safetensors')
    ) {
      throw new OneBitError(
        'bad-file',
        `${path}: weight_map puts ${name.slice(0, 200)} into ${JSON.stringify(file)?.slice(0, 100)}, which is not the name of a .safetensors file in this folder.`,
      );
    }
    const names = shards.get(file);
    if (names === undefined) shards.set(file, [name]);
    else names.push(name);
  }
  for (const [file, names] of [...shards].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const shard = join(folder, file);
    if (!(await exists(shard))) {
      throw new OneBitError(
        'not-found',
        `${shard} is missing; ${indexFileName} names it: copy or download the shard.`,
      );
    }
    const found = new Set(
      (await addSafetensorsFile(shard, files, tensors, signal)).map((tensor) => tensor.name),
    );
    const absent = names.find((name) => !found.has(name));
    if (absent !== undefined) {
      throw new OneBitError(
        'missing-tensor',
        `${shard} has no tensor ${absent.slice(0, 200)}, though ${indexFileName} says so: copy or download both again.`,
      );
    }
  }
}

async function findSingleFile(folder: string): Promise<string> {
  if (await exists(join(folder, singleFileName))) return join(folder, singleFileName);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (caught) {
    throw asOneBitError(caught, folder);
  }
  const weights = names.filter((name) => name.endsWith('.safetensors'));
  if (weights.length === 1) return join(folder, weights[0] as string);
  if (weights.length > 1) {
    throw new OneBitError(
      'bad-file',
      `${folder} has ${weights.length} .safetensors files and no ${indexFileName}: copy or download the index.`,
    );
  }
  const torch = names.find((name) => name.endsWith('.bin') || name.endsWith('.pt') || name.endsWith('.pth'));
  if (torch !== undefined) throw torchRefused(join(folder, torch));
  const gguf = names.find((name) => name.endsWith('.gguf'));
  if (gguf !== undefined) throw ggufRefused(join(folder, gguf));
  throw new OneBitError(
    'not-found',
    `${folder} has no ${singleFileName} and no ${indexFileName}: choose the folder of a Hugging Face checkpoint.`,
  );
}

export function torchRefused(path: string): OneBitError {
  return new OneBitError(
    'unsupported',
    `${path} is a PyTorch file, which this version does not read. Convert the model once, in Python: ` +
      `AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER, safe_serialization=True).`,
  );
}

export function ggufRefused(path: string): OneBitError {
  return new OneBitError(
    'unsupported',
    `${path} is a GGUF file, which this version does not read: give the Hugging Face folder with safetensors.`,
  );
}
