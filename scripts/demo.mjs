// `npm run demo`: bundles the demo (it drives the built command line and the extension's client) and runs it.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outfile = join(root, 'dist', 'demo.cjs');
await build({
  entryPoints: [join(root, 'test', 'demo', 'demo.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  logLevel: 'warning',
  define: { 'import.meta.url': 'onebitModuleUrl' },
  banner: { js: "const onebitModuleUrl = require('node:url').pathToFileURL(__filename).href;" },
  external: ['bufferutil', 'utf-8-validate'],
});
process.exit(spawnSync(process.execPath, [outfile], { cwd: root, stdio: 'inherit' }).status ?? 1);
