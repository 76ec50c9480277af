import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  checkCheckpointFolder,
  freeOutputFolder,
  weightBytes,
} from '../../../extension/commands/checkpoint-folder.ts';

let root: string;
const folder = async (name: string, files: Record<string, string>): Promise<string> => {
  await mkdir(join(root, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(root, name, file), text);
  return join(root, name);
};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'onebit-folder-'));
});
afterAll(() => rm(root, { recursive: true }));

test('a checkpoint passes, and its weights are counted', async () => {
  const good = await folder('good', { 'config.json': '{}', 'model.safetensors': '12345', 'notes.txt': '1' });
  await checkCheckpointFolder(good);
  expect(await weightBytes(good)).toBe(5);
});

test.each([
  ['no config', { 'model.safetensors': '' }, /"no config" has no config\.json/],
  ['no weights', { 'config.json': '{}' }, /"no weights" has no weights/],
  ['broken', { 'config.json': '{', 'model.safetensors': '' }, /config\.json is no valid JSON/],
  [
    'packed',
    { 'config.json': '{"quantization_config":{"quant_method":"onebit"}}', 'model.safetensors': '' },
    /already quantized \(onebit\)/,
  ],
])('%s is refused with its reason', async (name, files, message) => {
  await expect(checkCheckpointFolder(await folder(name, files))).rejects.toThrow(message);
});

test('a file and a missing folder are refused', async () => {
  const inside = join(await folder('f', { 'a.txt': '' }), 'a.txt');
  await expect(checkCheckpointFolder(inside)).rejects.toThrow(/cannot be read as a folder/);
  await expect(checkCheckpointFolder(join(root, 'absent'))).rejects.toThrow(/cannot be read as a folder/);
  expect(await weightBytes(join(root, 'absent'))).toBe(0);
});

test('the output folder is beside the model and free', async () => {
  const model = await folder('tiny', {});
  expect(await freeOutputFolder(model, 'onebit')).toBe(join(root, 'tiny-onebit'));
  await folder('tiny-onebit', {});
  await folder('tiny-onebit-2', {});
  expect(await freeOutputFolder(model, 'onebit')).toBe(join(root, 'tiny-onebit-3'));
  expect(await freeOutputFolder(model, 'onebit', join(root, 'other'))).toBe(
    join(root, 'other', 'tiny-onebit'),
  );
});
