import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OneBitError } from '../../server/protocol/error.ts';
import { tensorflowPackage } from '../../server/protocol/training-backend.ts';

export interface InstallOptions {
  /** Where the package goes, with a `node_modules`; what was there is replaced once the new one is whole. */
  folder: string;
  /** The program that runs the server. */
  node: string;
  /** What npm is asked for (default: the version that OneBit works with). */
  packageSpec?: string;
  signal: AbortSignal;
  /** A line that npm said. */
  onLine(line: string): void;
  environment?: NodeJS.ProcessEnv;
}

interface Ended {
  code: number | null;
  /** The last lines of both outputs. */
  said: string[];
}

const keptLines = 40;

/**
 * Installs the optional CUDA backend with npm, and tries in the server's Node whether it loads. A failure or a
 * cancellation leaves what was there before.
 * @throws OneBitError cancelled; not-found without npm; internal with what to do
 */
export async function installPackage(options: InstallOptions): Promise<void> {
  const { folder, signal, packageSpec = `${tensorflowPackage.name}@${tensorflowPackage.version}` } = options;
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    // npm would else install into the nearest folder above that has a package.json.
    await writeFile(join(partial, 'package.json'), '{ "private": true }\n');
    const npm = npmOf(options.node);
    // The user's npm may be set to say nothing, not even why it failed.
    const loud = '--loglevel=notice';
    const flags = ['--no-audit', '--no-fund', '--ignore-scripts=false', '--install-links', loud];
    const installed = await run(
      npm.program,
      [...npm.arguments, 'install', ...flags, packageSpec],
      partial,
      options,
    );
    if (installed.code !== 0) throw npmFailure(installed);
    options.onLine('Trying whether it loads…');
    const script = `require(${JSON.stringify(tensorflowPackage.name)})`;
    const loaded = await run(options.node, ['-e', script], partial, options);
    if (loaded.code !== 0) {
      const reason = loaded.said.find((line) => /error|cannot|not found/i.test(line)) ?? loaded.said.at(-1);
      throw new OneBitError(
        'internal',
        `The CUDA backend was downloaded but does not load here: ${reason ?? 'it said nothing'}. ` +
          `It needs ${tensorflowPackage.needs}.`,
      );
    }
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
  } finally {
    await rm(partial, { recursive: true, force: true, maxRetries: 3 });
  }
  if (signal.aborted) throw new OneBitError('cancelled', 'Cancelled.');
}

/** npm as it lies beside that Node, or the one on the PATH. */
function npmOf(node: string): { program: string; arguments: string[] } {
  const beside = [
    join(dirname(node), 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(dirname(node), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ].find((path) => existsSync(path));
  if (beside !== undefined) return { program: node, arguments: [beside] };
  return { program: process.platform === 'win32' ? 'npm.cmd' : 'npm', arguments: [] };
}

function npmFailure({ said }: Ended): OneBitError {
  const all = said.join('\n');
  if (/ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|network|fetch failed/i.test(all)) {
    return new OneBitError(
      'internal',
      'npm could not reach what it downloads from (its registry, or TensorFlow’s own server). Is there a network, ' +
        'or a proxy that npm must be told of (npm config set proxy)?',
    );
  }
  if (/ENOSPC/.test(all)) {
    return new OneBitError('no-space', 'No space left on the disk: the CUDA backend takes about 2 GB.');
  }
  const last =
    said
      .filter((line) => /err/i.test(line))
      .slice(-3)
      .join(' ') || said.slice(-3).join(' ');
  return new OneBitError('internal', `npm could not install the CUDA backend: ${last}`);
}

function run(program: string, words: string[], cwd: string, options: InstallOptions): Promise<Ended> {
  const { signal, onLine, environment = process.env } = options;
  if (signal.aborted) return Promise.reject(new OneBitError('cancelled', 'Cancelled.'));
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, {
      cwd,
      env: { ...environment, ELECTRON_RUN_AS_NODE: '1' },
      windowsHide: true,
      // A group of its own, so that what npm starts ends with it. npm.cmd is a script of the shell.
      detached: process.platform !== 'win32',
      shell: program.endsWith('.cmd'),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: string[] = [];
    const stop = (): void => {
      if (child.pid === undefined) return;
      if (process.platform === 'win32') {
        spawn('taskkill', ['/pid', String(child.pid), '/t', '/f'], { windowsHide: true });
      } else {
        try {
          process.kill(-child.pid, 'SIGKILL');
        } catch {
          // It has just ended.
        }
      }
    };
    signal.addEventListener('abort', stop, { once: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        for (const line of text.split(/[\r\n]+/).filter((part) => part.trim() !== '')) {
          said.push(line);
          if (said.length > keptLines) said.shift();
          onLine(line);
        }
      });
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      signal.removeEventListener('abort', stop);
      reject(
        error.code === 'ENOENT'
          ? new OneBitError(
              'not-found',
              `There is no ${program === options.node ? program : 'npm'} here. Install Node.js (18 to 22), which brings ` +
                'npm, and set onebit.server.nodePath to its binary.',
              { cause: error },
            )
          : new OneBitError('internal', `${program} does not start: ${error.message}`, { cause: error }),
      );
    });
    child.once('close', (code) => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(new OneBitError('cancelled', 'Cancelled.'));
      else resolve({ code, said });
    });
  });
}
