import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { OneBitError } from '../../server/protocol/error.ts';

const weightFile = /\.(safetensors|bin|gguf|pth|pt)$/;

/** Whether a file name is that of model weights. */
function isWeightFile(name: string): boolean {
  return weightFile.test(name);
}

/**
 * Checks what can be seen at a glance, so that a wrong folder is refused before anything is started; the
 * server checks the rest.
 * @throws OneBitError that names the folder and what is missing in it
 */
export async function checkCheckpointFolder(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new OneBitError('unreadable', `"${folder}" cannot be read as a folder.`, { cause: error });
  });
  const wanted =
    'A checkpoint folder holds config.json and the weights (*.safetensors or *.bin); a GGUF file needs no config.json.';
  if (!names.includes('config.json')) {
    // A GGUF file says its model's shape itself.
    if (names.filter((name) => name.endsWith('.gguf')).length === 1) return;
    throw new OneBitError('not-found', `"${basename(folder)}" has no config.json. ${wanted}`);
  }
  if (!names.some(isWeightFile)) {
    throw new OneBitError('not-found', `"${basename(folder)}" has no weights. ${wanted}`);
  }
  const method = await quantizationMethod(join(folder, 'config.json'));
  if (method !== undefined) {
    throw new OneBitError(
      'unsupported',
      `"${basename(folder)}" is already quantized (${method}). Choose the full-precision checkpoint.`,
    );
  }
}

/** Whether a folder looks like a full-precision checkpoint. */
export async function isFullCheckpoint(folder: string): Promise<boolean> {
  return checkCheckpointFolder(folder).then(
    () => true,
    () => false,
  );
}

async function quantizationMethod(path: string): Promise<string | undefined> {
  try {
    const config: unknown = JSON.parse(await readFile(path, 'utf8'));
    const section = (config as { quantization_config?: { quant_method?: unknown } } | null)
      ?.quantization_config;
    return section == null ? undefined : String(section.quant_method ?? 'unknown method');
  } catch (error) {
    throw new OneBitError('bad-file', `${path} is no valid JSON.`, { cause: error });
  }
}

/** Bytes of the weights in a checkpoint folder; 0 if it cannot be read. */
export async function weightBytes(folder: string): Promise<number> {
  try {
    const names = (await readdir(folder)).filter(isWeightFile);
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  } catch {
    return 0;
  }
}

/**
 * A folder beside `model` that does not exist yet: `<name>-<suffix>`, or the same with a number.
 * @param parent where to put it, when not beside the model
 */
export async function freeOutputFolder(
  model: string,
  suffix: string,
  parent = dirname(model),
): Promise<string> {
  for (let number = 1; ; number++) {
    const folder = join(parent, `${basename(model)}-${suffix}${number === 1 ? '' : `-${number}`}`);
    const taken = await stat(folder).then(
      () => true,
      () => false,
    );
    if (!taken) return folder;
  }
}
