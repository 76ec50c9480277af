import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { installPackage } from '../../../extension/cuda/install-package.ts';
import { tensorflowObstacle, tensorflowPackage } from '../../../server/protocol/training-backend.ts';

const root = mkdtempSync(join(tmpdir(), 'onebit-cuda-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A package of that name in a folder, which npm installs as it would the real one. */
function packageOf(name: string, code: string): string {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  const manifest = { name: tensorflowPackage.name, version: '4.22.0', main: 'index.js' };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'index.js'), code);
  return `file:${folder}`;
}

const installed = join('node_modules', '@tensorflow', 'tfjs-node-gpu', 'index.js');
const install = (
  folder: string,
  packageSpec: string | undefined,
  more: { node?: string; signal?: AbortSignal; environment?: NodeJS.ProcessEnv } = {},
): Promise<void> =>
  installPackage({
    folder,
    node: process.execPath,
    signal: new AbortController().signal,
    packageSpec,
    onLine: () => {},
    ...more,
  });

it('installs the package where the server looks for it, whole or not at all', async () => {
  const folder = join(root, 'storage', 'cuda');
  await install(folder, packageOf('works', 'module.exports = 1;'));
  expect(readFileSync(join(folder, installed), 'utf8')).toBe('module.exports = 1;');
  const broken = packageOf('broken', 'throw new Error("libcudart.so.11.0: cannot open shared object file");');
  await expect(install(folder, broken)).rejects.toThrow(
    /does not load here: .*libcudart.* It needs .*CUDA 11.2/,
  );
  expect(readFileSync(join(folder, installed), 'utf8')).toBe('module.exports = 1;');
  expect(existsSync(`${folder}.partial`)).toBe(false);
});

it('says what is missing: the network, npm, the platform', async () => {
  const folder = join(root, 'failing');
  const nowhere = {
    ...process.env,
    npm_config_registry: 'http://127.0.0.1:9',
    npm_config_fetch_retries: '0',
    npm_config_cache: join(root, 'cache'),
  };
  await expect(install(folder, undefined, { environment: nowhere })).rejects.toThrow(/could not reach/);
  const noNode = join(root, 'nowhere', 'node');
  await expect(install(folder, undefined, { node: noNode, environment: { PATH: root } })).rejects.toThrow(
    /There is no npm here. Install Node.js/,
  );
  expect(existsSync(folder)).toBe(false);
  expect(tensorflowObstacle('darwin', 'arm64', 'v22.1.0')).toBe('there is no CUDA backend for darwin');
  expect(tensorflowObstacle('linux', 'arm64', 'v22.1.0')).toBe(
    'there is no CUDA backend for arm64 processors',
  );
  expect(tensorflowObstacle('win32', 'x64', 'v24.0.0')).toContain('Node.js 24');
  expect(tensorflowObstacle('linux', 'x64', 'v20.20.2')).toBeUndefined();
});

it('stops npm and what it started when it is cancelled', async () => {
  const folder = join(root, 'cancelled');
  const source = packageOf('slow', '');
  const manifest = { name: tensorflowPackage.name, version: '4.22.0', scripts: { install: 'sleep 600' } };
  writeFileSync(join(root, 'slow', 'package.json'), JSON.stringify(manifest));
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 1500);
  await expect(install(folder, source, { signal: abort.signal })).rejects.toMatchObject({
    code: 'cancelled',
  });
  expect(existsSync(folder)).toBe(false);
  expect(existsSync(`${folder}.partial`)).toBe(false);
});
