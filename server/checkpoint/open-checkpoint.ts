import { readdir, stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { asOneBitError, OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { Checkpoint } from './checkpoint.ts';
import { FileCheckpoint } from './file-checkpoint.ts';
import { readHfConfig } from './hf-config.ts';
import { matchLlamaTensors } from './llama-tensors.ts';
import { openLlama2c } from './llama2c.ts';
import { addSafetensorsFile, ggufRefused, openSafetensorsFolder } from './safetensors-folder.ts';
import { TensorFiles } from './tensor-files.ts';
import { isTokenizerName } from './tokenizer-files.ts';

/**
 * Opens a model: a Hugging Face folder with safetensors (full precision, or OneBit of either kind, ours or
 * the authors'), one .safetensors file beside its config.json, or a llama2.c `.bin` or its folder.
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
    const isLlama2c = binaries.length === 1 && !names.some((name) => name.endsWith('.safetensors'));
    if (isLlama2c) return openLlama2c(join(path, binaries[0] as string), files, signal);
    // The weights' own problem first: a folder of torch files needs more than a config.json.
    await openSafetensorsFolder(path, files, signal);
    throw configMissing(path);
  }
  switch (extname(path)) {
    case '.safetensors':
      if (!(await readdir(dirname(path))).includes('config.json')) throw configMissing(dirname(path));
      return openHuggingFace(dirname(path), path, files, signal);
    case '.bin':
      return openLlama2c(path, files, signal);
    case '.gguf':
      throw ggufRefused(path);
    default:
      throw new OneBitError(
        'unsupported',
        `${path} is no model that this version reads: give a Hugging Face folder, a .safetensors file or a llama2.c .bin.`,
      );
  }
}

/** @param path the folder itself, or one .safetensors file in it */
async function openHuggingFace(
  folder: string,
  path: string,
  files: TensorFiles,
  signal?: AbortSignal,
): Promise<Checkpoint> {
  const said = await readHfConfig(join(folder, 'config.json'));
  let stored = new Map();
  if (folder === path) stored = await openSafetensorsFolder(folder, files, signal);
  else await addSafetensorsFile(path, files, stored, signal);
  const matched = matchLlamaTensors(stored, said, path);
  return new FileCheckpoint({ path, format: 'safetensors', files, ...matched });
}

function configMissing(folder: string): OneBitError {
  return new OneBitError(
    'not-found',
    `${join(folder, 'config.json')} is missing: copy it from where the model comes from; the weights alone do not say the model's shape.`,
  );
}
