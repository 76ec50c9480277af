import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import type { TensorInfo } from './checkpoint.ts';
import type { DataFile } from './data-file.ts';
import { exists, readJson } from './json-file.ts';
import { readSafetensorsHeader } from './safetensors-header.ts';
import type { TensorFiles } from './tensor-files.ts';
import { isTokenizerName } from './tokenizer-files.ts';
import { readTorchFile } from './torch/torch-file.ts';

export const singleFileName = 'model.safetensors';
export const indexFileName = 'model.safetensors.index.json';
const maxIndexBytes = 100_000_000;

/** How the files of a folder are called, and read. */
interface WeightFormat {
  single: string;
  index: string;
  extension: string;
  readHeader(file: DataFile, signal?: AbortSignal): Promise<TensorInfo[]>;
}
const safetensors: WeightFormat = {
  single: singleFileName,
  index: indexFileName,
  extension: '.safetensors',
  readHeader: readSafetensorsHeader,
};
const torch: WeightFormat = {
  single: 'pytorch_model.bin',
  index: 'pytorch_model.bin.index.json',
  extension: '.bin',
  readHeader: readTorchFile,
};

/** The tensors of a checkpoint by name, each with the file and range where it lies. */
export type StoredTensors = Map<string, TensorInfo>;

/** Opens one more .safetensors or PyTorch file and adds its tensors. @throws bad-file for a tensor that two files hold */
export async function addWeightFile(
  path: string,
  files: TensorFiles,
  tensors: StoredTensors,
  signal?: AbortSignal,
): Promise<TensorInfo[]> {
  const { readHeader } = path.endsWith(safetensors.extension) ? safetensors : torch;
  const found = await readHeader(await files.open(path), signal);
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
 * Opens the weights of a folder: the shards that an index names, or `model.safetensors`, or the only .safetensors file
 * there; without any, PyTorch's `pytorch_model.bin` or its shards.
 * @throws not-found, bad-file, unsupported
 */
export async function openWeightFolder(
  folder: string,
  files: TensorFiles,
  signal?: AbortSignal,
): Promise<StoredTensors> {
  const tensors: StoredTensors = new Map();
  for (const format of [safetensors, torch]) {
    if (await exists(join(folder, format.index))) {
      await addShards(folder, format, files, tensors, signal);
      return tensors;
    }
    const single = await findSingleFile(folder, format);
    if (single !== undefined) {
      await addWeightFile(single, files, tensors, signal);
      return tensors;
    }
  }
  throw new OneBitError(
    'not-found',
    `${folder} has no ${singleFileName} and no ${indexFileName}: choose the folder of a Hugging Face checkpoint.`,
  );
}

async function addShards(
  folder: string,
  { index: indexName, extension }: WeightFormat,
  files: TensorFiles,
  tensors: StoredTensors,
  signal?: AbortSignal,
): Promise<void> {
  const path = join(folder, indexName);
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
      !file.endsWith(extension)
    ) {
      throw new OneBitError(
        'bad-file',
        `${path}: weight_map puts ${name.slice(0, 200)} into ${JSON.stringify(file)?.slice(0, 100)}, which is not the name of a ${extension} file in this folder.`,
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
        `${shard} is missing; ${indexName} names it: copy or download the shard.`,
      );
    }
    const found = new Set((await addWeightFile(shard, files, tensors, signal)).map((tensor) => tensor.name));
    const absent = names.find((name) => !found.has(name));
    if (absent !== undefined) {
      throw new OneBitError(
        'missing-tensor',
        `${shard} has no tensor ${absent.slice(0, 200)}, though ${indexName} says so: copy or download both again.`,
      );
    }
  }
}

async function findSingleFile(
  folder: string,
  { single, index, extension }: WeightFormat,
): Promise<string | undefined> {
  if (await exists(join(folder, single))) return join(folder, single);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (caught) {
    throw asOneBitError(caught, folder);
  }
  const weights = names.filter(
    (name) => name.endsWith(extension) && !isTokenizerName(name) && !isTrainingState(name),
  );
  if (weights.length > 1) {
    throw new OneBitError(
      'bad-file',
      `${folder} has ${weights.length} ${extension} files and no ${index}: copy or download the index.`,
    );
  }
  return weights.length === 1 ? join(folder, weights[0] as string) : undefined;
}

/** What Hugging Face's trainer leaves beside the weights. */
function isTrainingState(name: string): boolean {
  return name === 'training_args.bin' || name === 'optimizer.bin' || name === 'scheduler.bin';
}
