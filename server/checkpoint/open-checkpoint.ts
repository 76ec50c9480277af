import { stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { asOneBitError, OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { Checkpoint, CheckpointKind, TensorInfo } from './checkpoint.ts';
import { dtypeBytes, isFloatDtype } from './dtype.ts';
import { widenFloats } from './float-conversion.ts';
import { readHfConfig } from './hf-config.ts';
import { exists } from './json-file.ts';
import { matchLlamaTensors } from './llama-tensors.ts';
import type { ModelConfig } from './model-config.ts';
import { ggufRefused, openSafetensorsFolder, TensorFiles } from './safetensors-folder.ts';

/**
 * Opens a model: a Hugging Face folder with safetensors (full precision, or OneBit of either kind, ours or
 * the authors'), one .safetensors file beside its config.json, or a llama2.c `.bin`.
 * Reads headers only; tensors come when asked for. Close it when done.
 * @throws not-found, unreadable, bad-file, bad-value, missing-tensor, unsupported: the message names the
 *   file and the tensor or field
 */
export async function openCheckpoint(path: string, signal?: AbortSignal): Promise<Checkpoint> {
  throwIfCancelled(signal);
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
  if (isFolder) return openFolder(path, path, signal);
  switch (extname(path)) {
    case '.safetensors':
      return openFolder(dirname(path), path, signal);
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
async function openFolder(folder: string, path: string, signal?: AbortSignal): Promise<Checkpoint> {
  const configPath = join(folder, 'config.json');
  if (!(await exists(configPath))) {
    // The weights' own problem first: a folder of torch files needs more than a config.json.
    if (folder === path) await (await openSafetensorsFolder(folder, signal)).close();
    throw new OneBitError(
      'not-found',
      `${configPath} is missing: copy it from where the model comes from; the weights alone do not say the model's shape.`,
    );
  }
  const config = await readHfConfig(configPath);
  let files: TensorFiles;
  if (folder === path) {
    files = await openSafetensorsFolder(folder, signal);
  } else {
    files = new TensorFiles();
    try {
      await files.add(path, signal);
    } catch (caught) {
      await files.close();
      throw caught;
    }
  }
  try {
    const matched = matchLlamaTensors(files.tensors, config, path);
    return new SafetensorsCheckpoint(path, matched.kind, matched.config, matched.tensors, files);
  } catch (caught) {
    await files.close();
    throw caught;
  }
}

class SafetensorsCheckpoint implements Checkpoint {
  readonly format = 'safetensors';

  constructor(
    readonly path: string,
    readonly kind: CheckpointKind,
    readonly config: ModelConfig,
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    private readonly files: TensorFiles,
  ) {}

  async readBytes(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const tensor = this.info(name);
    const bytes = new Uint8Array(tensor.byteLength);
    await this.files.fileOf(tensor).read(bytes, tensor.offset, signal);
    return bytes;
  }

  async readInto(name: string, into: Uint8Array, start = 0, signal?: AbortSignal): Promise<void> {
    const tensor = this.info(name);
    if (start + into.byteLength > tensor.byteLength) {
      throw new OneBitError('internal', `${name}: a read past its end.`);
    }
    await this.files.fileOf(tensor).read(into, tensor.offset + start, signal);
  }

  async readFloats(name: string, signal?: AbortSignal): Promise<Float32Array> {
    const tensor = this.info(name);
    const { dtype } = tensor;
    if (!isFloatDtype(dtype)) {
      throw new OneBitError('internal', `${this.path}: ${name} is ${dtype}, not floats.`);
    }
    const values = new Float32Array(tensor.byteLength / dtypeBytes[dtype]);
    await this.files
      .fileOf(tensor)
      .readParts(
        tensor.offset,
        tensor.byteLength,
        (part, start) => widenFloats(part, dtype, values, start / dtypeBytes[dtype]),
        signal,
      );
    return values;
  }

  async close(): Promise<void> {
    await this.files.close();
  }

  private info(name: string): TensorInfo {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) {
      throw new OneBitError('missing-tensor', `${this.path} has no tensor ${name}.`);
    }
    return tensor;
  }
}
