// Bundles a TypeScript part of the benchmark and loads it.
import { build } from 'esbuild';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** The module of test/bench/<name>.ts. */
export async function loadBundled(name) {
  return import(pathToFileURL(await bundle(name)).href);
}

/** The path of the bundle of test/bench/<name>.ts, which may be outside of that folder. */
export async function bundle(name) {
  const outfile = join(here, '..', 'output', `${basename(name)}.mjs`);
  const entryPoints = [join(here, `${name}.ts`)];
  await build({
    entryPoints,
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
    loader: { '.wgsl': 'text' },
    external: ['webgpu'],
    // Some packages are CommonJS and ask for Node's modules.
    banner: {
      js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
    },
  });
  return outfile;
}

export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
