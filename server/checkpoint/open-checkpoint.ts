import { readdir, stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { asOneBitError, OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { Checkpoint } from './checkpoint.ts';
import { FileCheckpoint } from './file-checkpoint.ts';
import { openGguf } from './gguf/open-gguf.ts';
import { readHfConfig } from './hf-config.ts';
import { matchLlamaTensors } from './llama-tensors.ts';
import { openLlama2c } from './llama2c.ts';
import { TensorFiles } from './tensor-files.ts';
import { isTokenizerName } from './tokenizer-files.ts';
import { looksLikeTorch } from './torch/torch-file.ts';
import { addWeightFile, openWeightFolder } from './weight-folder.ts';

/**
 * Opens a model: a Hugging Face folder with safetensors or PyTorch files (full precision, or OneBit of either kind, ours or
 * the authors'), one such file beside its config.json, a GGUF file of a LLaMA, or a llama2.c `.bin`; or the folder of one.
 * Reads headers only; tensors come when asked for. Close it when done.
 * @throws not-found, unreadable, bad-file, bad-value, missing-tensor, unsupported: the message names the
 *   file and the tensor or field
 */
export async function openCheckpoint(path: string, signal?: AbortSignal): Promise<Checkpoint> {
  throwIfCancelled(signal);
  const files = new TensorFiles();
  try {
    return await open(path, files, signal);
  } catch (caught) {
    await files.close();
    throw asOneBitError(caught, path);
  }
}

async function open(path: string, files: TensorFiles, signal?: AbortSignal): Promise<Checkpoint> {
  if ((await stat(path)).isDirectory()) {
    const names = await readdir(path);
    if (names.includes('config.json')) return openHuggingFace(path, path, files, signal);
    const binaries = names.filter((name) => name.endsWith('.bin') && !isTokenizerName(name));
    const has = (extension: string) => names.filter((name) => name.endsWith(extension));
    const [gguf, ...otherGguf] = has('.gguf');
    const isHuggingFace = has('.safetensors').length > 0;
    if (gguf !== undefined && otherGguf.length === 0 && !isHuggingFace)
      return openGguf(join(path, gguf), files, signal);
    if (binaries.length === 1 && !isHuggingFace)
      return openBinary(join(path, binaries[0] as string), files, signal);
    if (otherGguf.length > 0 && !isHuggingFace) {
      throw new OneBitError('bad-file', `${path} has ${otherGguf.length + 1} GGUF files: name one of them.`);
    }
    // The weights' own problem first.
    await openWeightFolder(path, files, signal);
    throw configMissing(path);
  }
  switch (extname(path)) {
    case '.safetensors':
      return openBesideConfig(path, files, signal);
    case '.bin':
    case '.pt':
    case '.pth':
      return openBinary(path, files, signal);
    case '.gguf':
      return openGguf(path, files, signal);
    default:
      throw new OneBitError(
        'unsupported',
        `${path} is no model that this version reads: give a Hugging Face folder, a .safetensors, .gguf or PyTorch file, or a llama2.c .bin.`,
      );
  }
}

/** PyTorch's and llama2.c's files share an extension. */
async function openBinary(path: string, files: TensorFiles, signal?: AbortSignal): Promise<Checkpoint> {
  return (await looksLikeTorch(await files.open(path), signal))
    ? openBesideConfig(path, files, signal)
    : openLlama2c(path, files, signal);
}

async function openBesideConfig(path: string, files: TensorFiles, signal?: AbortSignal): Promise<Checkpoint> {
  if (!(await readdir(dirname(path))).includes('config.json')) throw configMissing(dirname(path), path);
  return openHuggingFace(dirname(path), path, files, signal);
}

/** @param path the folder itself, or one file of weights in it */
async function openHuggingFace(
  folder: string,
  path: string,
  files: TensorFiles,
  signal?: AbortSignal,
): Promise<Checkpoint> {
  const said = await readHfConfig(join(folder, 'config.json'));
  let stored = new Map();
  if (folder === path) stored = await openWeightFolder(folder, files, signal);
  else await addWeightFile(path, files, stored, signal);
  const matched = matchLlamaTensors(stored, said, path);
  return new FileCheckpoint({ path, format: 'safetensors', files, ...matched });
}

function configMissing(folder: string, weights = folder): OneBitError {
  return new OneBitError(
    'not-found',
    `${join(folder, 'config.json')} is missing: copy it from where the model comes from; the weights (${weights}) alone do not say the model's shape.`,
  );
}
