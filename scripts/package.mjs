// Packs the extension: dist/onebit-<platform>-<arch>.vsix, with the native kernels of this machine,
// Dawn's binary for its platform, and the starter model inside. `npm run package`; `--quiet` leaves out the list of files.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPackages } from '../test/workbench/setup.mjs';

const quiet = process.argv.includes('--quiet');
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const platform = `${process.platform}-${process.arch}`;
const built = join(root, 'server', 'native', 'build', 'Release', 'onebit.node');
const prebuilds = join(root, 'server', 'native', 'prebuilds');
const dawn = join(root, 'node_modules', 'webgpu');
const packedDawn = join(root, 'server', 'gpu', 'prebuilds', 'webgpu');
const vsix = join(root, 'dist', `onebit-${platform}.vsix`);

function run(...args) {
  const stdout = quiet ? 'pipe' : 'inherit';
  const result = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', stdout, 'inherit'] });
  if (result.status === 0) return;
  process.stderr.write(result.stdout ?? '');
  process.exit(result.status ?? 1);
}

/** The package `webgpu` without the binaries of other platforms, which weigh over 100 MB. */
function packDawn() {
  rmSync(packedDawn, { recursive: true, force: true });
  const binaries = join('dist', process.platform === 'darwin' ? 'darwin-universal' : platform);
  if (!existsSync(join(dawn, binaries, 'dawn.node'))) {
    console.log(`There is no Dawn for ${platform}: the package will run on the CPU only.`);
    return;
  }
  mkdirSync(join(packedDawn, 'dist'), { recursive: true });
  for (const part of ['package.json', 'index.js', 'LICENSE.md', binaries]) {
    cpSync(join(dawn, part), join(packedDawn, part), { recursive: true });
  }
}

installPackages();
run('esbuild.mjs');
rmSync(prebuilds, { recursive: true, force: true });
if (existsSync(built)) {
  mkdirSync(join(prebuilds, platform), { recursive: true });
  copyFileSync(built, join(prebuilds, platform, 'onebit.node'));
} else {
  console.log('The native kernels are not built (npm run build:native): the package will use WebAssembly.');
}
packDawn();
if (!existsSync(join(root, 'server', 'starter'))) {
  console.log('There is no server/starter: the package will come without a model.');
}
rmSync(vsix, { force: true });
const vsce = join(root, 'test', 'workbench', 'node_modules', '@vscode', 'vsce', 'vsce');
run(
  vsce,
  'package',
  '--no-dependencies',
  '--allow-missing-repository',
  '--no-rewrite-relative-links',
  '--target',
  platform,
  '--out',
  vsix,
);
rmSync(prebuilds, { recursive: true, force: true });
rmSync(packedDawn, { recursive: true, force: true });
