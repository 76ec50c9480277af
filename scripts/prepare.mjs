// Runs at the end of `npm ci`: native kernels, then the three bundles, then the `onebit` command.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const run = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status ?? 1;

run('scripts/build-native.mjs');
const bundled = run('esbuild.mjs');
if (bundled !== 0) process.exit(bundled);

// `npx onebit` finds a package's own command only in node_modules/.bin, where npm puts those of others.
const bin = join(root, 'node_modules', '.bin');
if (existsSync(join(root, 'node_modules')) && process.platform !== 'win32') {
  mkdirSync(bin, { recursive: true });
  rmSync(join(bin, 'onebit'), { force: true });
  symlinkSync('../../dist/onebit.mjs', join(bin, 'onebit'));
}
