import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readServerFile } from '../../extension/server-link/find-server.ts';
import { ServerClient } from '../../extension/server-link/server-client.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import { packageRoot } from '../../server/package-root.ts';
import { byteTokens, writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint, type RandomCheckpointOptions } from '../reference/random-checkpoint.ts';

const folders: string[] = [];
const children = new Set<ChildProcess>();
let cli: Promise<string> | undefined;

/** A new folder, removed by `cleanUp`. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `onebit-${name}-`));
  folders.push(folder);
  return folder;
}

/** The command line, bundled from the sources as they are now: the installed bundle, or one made for the tests. */
export function commandLine(): Promise<string> {
  cli ??= (async () => {
    const root = packageRoot();
    const output = join(root, 'test', 'output');
    const ready = [join(root, 'dist', 'onebit.mjs'), join(output, 'onebit.mjs')].find(isUpToDate);
    if (ready !== undefined) return ready;
    mkdirSync(output, { recursive: true });
    const folder = mkdtempSync(join(output, 'bundles-'));
    try {
      const built = spawn(process.execPath, [join(root, 'esbuild.mjs'), '--outdir', folder], {
        stdio: 'inherit',
      });
      const code = await new Promise((resolve) => built.once('exit', resolve));
      if (code !== 0) throw new Error(`esbuild.mjs ended with ${String(code)}`);
      renameSync(join(folder, 'onebit.mjs'), join(output, 'onebit.mjs'));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    return join(output, 'onebit.mjs');
  })();
  return cli;
}

function isUpToDate(bundle: string): boolean {
  const made = statSync(bundle, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const server = join(packageRoot(), 'server');
  const sources = readdirSync(server, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  return sources.every((name) => statSync(join(server, name)).mtimeMs < made);
}

/** A tiny model with a byte tokenizer and without an end token: it generates until it is stopped. */
export function tinyModel(options: Partial<RandomCheckpointOptions> & { infill?: boolean } = {}): string {
  const folder = temporaryFolder('model');
  writeRandomCheckpoint(folder, {
    layout: 'onebit',
    vocabSize: byteTokens.vocabSize,
    bosTokenId: null,
    eosTokenId: null,
    ...options,
  });
  writeByteTokenizer(folder, { infill: options.infill });
  return folder;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** One `onebit serve` as a process of its own. */
export class ServeProcess {
  readonly ended: Promise<Ended>;
  output = '';
  exited = false;

  private constructor(
    readonly child: ChildProcess,
    readonly stateFolder: string,
  ) {
    const collect = (text: string): void => void (this.output += text);
    child.stdout?.setEncoding('utf8').on('data', collect);
    child.stderr?.setEncoding('utf8').on('data', collect);
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.exited = true;
        children.delete(child);
        resolve({ code, signal });
      });
    });
  }

  static async spawn(args: string[], stateFolder: string = temporaryFolder('state')): Promise<ServeProcess> {
    const program = await commandLine();
    const child = spawn(process.execPath, [program, 'serve', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ONEBIT_STATE: stateFolder },
    });
    children.add(child);
    return new ServeProcess(child, stateFolder);
  }

  /** Starts a server and waits until it can be reached. */
  static async start(args: string[], stateFolder?: string): Promise<ServeProcess & { file: ServerFile }> {
    const server = await ServeProcess.spawn(args, stateFolder);
    const file = await eventually('server.json', async () => {
      if (server.exited) throw new Error(`serve ended: ${server.output}`);
      const read = await readServerFile(server.stateFolder);
      return read?.pid === server.child.pid ? read : undefined;
    });
    return Object.assign(server, { file });
  }

  /** Stops it as a service would be, and waits for its end. */
  async stop(): Promise<Ended> {
    this.child.kill('SIGTERM');
    return this.ended;
  }
}

/** A client whose user has opened these folders; all that tests make is in the system's folder for such. */
export async function connect(
  file: ServerFile,
  folders: readonly string[] = [tmpdir()],
): Promise<ServerClient> {
  const client = await ServerClient.connect(file, { client: 'test', version: '0' });
  await client.request('folders/set', { folders: [...folders] });
  return client;
}

/** Asks until there is an answer; the limit only ends a test that has failed. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  limitMs = 240_000,
): Promise<T> {
  for (const end = performance.now() + limitMs; ;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`${what} did not come within ${limitMs} ms`);
    await sleep(20);
  }
}

/** Ends every process and removes every folder that a test file has made. */
export async function cleanUp(): Promise<void> {
  await Promise.all(
    [...children].map(
      (child) =>
        new Promise<void>((resolve) => {
          child.once('close', () => resolve());
          child.kill('SIGKILL');
        }),
    ),
  );
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}
