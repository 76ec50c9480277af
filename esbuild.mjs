// Makes the three bundles: the extension (CommonJS, for the extension host), the server with its
// command line (ESM, for Node), and the pages of the panel and of checkpoint files (IIFE, for the browser).
import { build, context } from 'esbuild';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';

const watch = process.argv.includes('--watch');
// `--outdir FOLDER`: for tests that must not touch what is installed.
const outdirFlag = process.argv.indexOf('--outdir');
const outdir = outdirFlag < 0 ? 'dist' : process.argv[outdirFlag + 1];
const common = { bundle: true, sourcemap: 'linked', logLevel: 'warning', legalComments: 'eof' };

// tfjs as ES modules, and once: the gradients are registered by a module that belongs to them.
const oneTfjs = {
  name: 'one-tfjs',
  setup(bundler) {
    bundler.onResolve(
      { filter: /^@tensorflow\/(tfjs-core|tfjs-backend-cpu)$/ },
      ({ path, kind, resolveDir }) => bundler.resolve(`${path}/dist/index.js`, { kind, resolveDir }),
    );
  },
};

/** @type {import('esbuild').BuildOptions[]} */
const bundles = [
  {
    ...common,
    entryPoints: ['extension/activate.ts'],
    outfile: join(outdir, 'extension.cjs'),
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['vscode'],
  },
  {
    ...common,
    entryPoints: { onebit: 'server/cli/onebit.ts' },
    outdir,
    outExtension: { '.js': '.mjs' },
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Express and friends are CommonJS: they need `require` and `__dirname` inside an ES module.
    banner: {
      js: [
        '#!/usr/bin/env node',
        "import { createRequire as __createRequire } from 'node:module';",
        "import { fileURLToPath as __fileURLToPath } from 'node:url';",
        "import { dirname as __pathDirname } from 'node:path';",
        'const require = __createRequire(import.meta.url);',
        'const __filename = __fileURLToPath(import.meta.url);',
        'const __dirname = __pathDirname(__filename);',
      ].join('\n'),
    },
    plugins: [oneTfjs],
    loader: { '.wgsl': 'text' },
    // webgpu finds its binary beside itself.
    external: ['@tensorflow/tfjs-node-gpu', 'webgpu', 'bufferutil', 'utf-8-validate'],
  },
  {
    ...common,
    entryPoints: { webview: 'webview/main.ts', 'checkpoint-file': 'webview/checkpoint-file/main.ts' },
    outdir,
    platform: 'browser',
    format: 'iife',
    target: 'es2022',
    loader: { '.svg': 'text' },
    minify: !watch,
  },
];

if (watch) {
  for (const options of bundles) await (await context(options)).watch();
} else {
  await Promise.all(bundles.map((options) => build(options)));
  chmodSync(join(outdir, 'onebit.mjs'), 0o755);
}
