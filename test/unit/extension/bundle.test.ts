// What runs in the extension host must not touch a GPU: a driver that crashes would take VS Code's extensions with it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, expect, test } from 'vitest';
import { packageRoot } from '../../../server/package-root.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-bundle-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ['extension/activate.ts', 'the extension host'],
  ['webview/main.ts', 'the panel'],
  ['webview/checkpoint-file/main.ts', 'the editor of checkpoint files'],
])('%s brings nothing of the GPU, the kernels or tfjs into %s', async (entry) => {
  const { metafile } = await build({
    absWorkingDir: packageRoot(),
    entryPoints: [entry],
    outdir: folder,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['vscode'],
    loader: { '.svg': 'text' },
    metafile: true,
    logLevel: 'error',
  });
  const inputs = Object.keys(metafile.inputs);
  expect(inputs).toContain(entry);
  const foreign = /node_modules\/(webgpu|@tensorflow)\/|^server\/(?!protocol\/)|\.node$/;
  expect(inputs.filter((input) => foreign.test(input))).toEqual([]);
  const required = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  expect(required).not.toContain('webgpu');
  expect(
    readFileSync(join(folder, entry.includes('main') ? 'main.js' : 'activate.js'), 'utf8'),
  ).not.toContain('dawn.node');
});
