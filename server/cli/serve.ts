import { mkdir, readFile, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { newToken } from '../api/access.ts';
import { starterName } from '../api/known-models.ts';
import { takeServerLock } from '../api/server-lock.ts';
import { startServer, type RunningServer } from '../api/server.ts';
import { keepHeapSteady } from '../api/steady-heap.ts';
import { modelFolder } from '../checkpoint/starter.ts';
import { openLanguageModel } from '../engine/open-language-model.ts';
import { bootId } from '../process-identity.ts';
import { writeJson } from '../jobs/write-json.ts';
import {
  alreadyRunningExitCode,
  loopbackHost,
  serverFileName,
  serverFileSchema,
  stateFolder,
  type ServerFile,
} from '../protocol/discovery.ts';
import { asOneBitError } from '../protocol/error.ts';
import { protocolVersion } from '../protocol/methods.ts';
import { packageVersion } from '../package-root.ts';
import { integer, number } from './arguments.ts';
import { engineOptions, withEngineOptions, type EngineFlags } from './engine-options.ts';

interface Flags extends EngineFlags {
  port: number;
  model: string;
  allow: string[];
  idleMinutes: number;
  lease?: boolean;
  leaseSeconds: number;
}

/** The server must have ended this long after it was told to, whatever still hangs. */
const exitWithinMs = 1900;

/** `onebit serve`: the server of this user on this machine. */
export function register(program: Command): void {
  const command = program
    .command('serve')
    .description('Serve completions, jobs and inspection to this machine (loopback only).')
    .option('--port <n>', 'port of 127.0.0.1; default: any free one', integer(1, 65_535), 0)
    .option('--model <folder>', 'model that the first completion loads: a folder, or "starter"', starterName)
    .option(
      '--idle-minutes <n>',
      'give the weights back after so long without a completion; 0 = never',
      number(0),
      10,
    )
    .option(
      '--allow <folder...>',
      'folders that clients may name for models, data and outputs, beside those that are open in VS Code',
      [],
    )
    .option('--lease', 'end when the last client has gone (how the extension starts it)')
    .option('--lease-seconds <n>', 'how long after that', number(0), 60);
  withEngineOptions(command).action(async (flags: Flags) => {
    await serve(flags);
  });
}

async function serve(flags: Flags): Promise<void> {
  keepHeapSteady();
  const folder = stateFolder(process.env, process.platform, homedir());
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = await takeServerLock(folder, async (owner) => (await answering(folder))?.pid === owner.pid);
  if (!lock.held) {
    const other = await answering(folder);
    const where = other === undefined ? 'it does not answer (yet)' : `http://${loopbackHost}:${other.port}`;
    process.stderr.write(
      `onebit: a OneBit server of this user runs already: process ${lock.owner.pid}, ${where}.\n`,
    );
    process.exitCode = alreadyRunningExitCode;
    return;
  }
  let server: RunningServer | undefined;
  // The last thing of all, also where something hangs and the process ends anyway.
  process.once('exit', () => lock.release());
  const stopping = new AbortController();
  const stop = (reason: string): void => stopping.abort(reason);
  process.stdout.on('error', () => {});
  // Ctrl-C in a terminal goes to jobs as well; they end with a checkpoint either way.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => stop(`received ${name}`));
  const path = join(folder, serverFileName);
  try {
    const token = newToken();
    server = await startServer({
      stateFolder: folder,
      token,
      port: flags.port,
      openModel: openLanguageModel,
      command: {
        program: process.execPath,
        arguments: [...process.execArgv, fileURLToPath(import.meta.url)],
      },
      defaultModel: resolve(modelFolder(flags.model)),
      allowedFolders: flags.allow.map((folder) => resolve(folder)),
      engine: engineOptions(flags),
      idleMs: flags.idleMinutes * 60_000,
      leaseMs: flags.lease ? flags.leaseSeconds * 1000 : undefined,
      onStop: stop,
      log: say,
    });
    const file: ServerFile = {
      pid: process.pid,
      port: server.port,
      token,
      version: packageVersion(),
      protocol: protocolVersion,
      startedAt: server.startedAt,
      bootId: bootId(),
    };
    await writeJson(path, file, 0o600);
    say(
      `OneBit server ${file.version}: http://${loopbackHost}:${server.port}, process ${process.pid}, token in ${path}`,
    );
    await aborted(stopping.signal);
    say(`stopping: ${stopping.signal.reason}`);
    // Nothing that hangs may keep the process: state is on disk, jobs end by themselves.
    setTimeout(() => process.exit(process.exitCode ?? 0), exitWithinMs).unref();
  } finally {
    // First the file, so that nobody finds a server that is about to go; the lock goes last.
    if (server !== undefined && (await fileOf(folder))?.pid === process.pid) await rm(path, { force: true });
    await server
      ?.close(String(stopping.signal.reason))
      .catch((error: unknown) => say(asOneBitError(error).message));
  }
  // Whatever is left (a thread, a client's half-closed socket) has nothing to say any more.
  process.exit(process.exitCode ?? 0);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** What server.json says, if it can be read. */
async function fileOf(folder: string): Promise<ServerFile | undefined> {
  try {
    return serverFileSchema.parse(JSON.parse(await readFile(join(folder, serverFileName), 'utf8')));
  } catch {
    return undefined;
  }
}

/** The server of server.json, if it answers. */
async function answering(folder: string): Promise<ServerFile | undefined> {
  const file = await fileOf(folder);
  return file !== undefined && (await answers(file)) ? file : undefined;
}

/**
 * Whether the server of that file answers, and is the process that the file names. With an agent of its own: the usual
 * ones may be told by the environment to ask a proxy.
 */
async function answers({ port, token, pid }: ServerFile): Promise<boolean> {
  try {
    const body = await new Promise<string>((resolve, reject) => {
      get(
        {
          ...{ host: loopbackHost, port, path: '/health', agent: false },
          headers: { authorization: `Bearer ${token}` },
          signal: AbortSignal.timeout(2000),
        },
        (response) => {
          let text = '';
          response
            .setEncoding('utf8')
            .on('data', (piece: string) => (text = (text + piece).slice(0, 65_536)));
          response.on('end', () => resolve(text)).on('error', reject);
        },
      ).on('error', reject);
    });
    return (JSON.parse(body) as { pid?: unknown } | null)?.pid === pid;
  } catch {
    return false;
  }
}

function say(message: string): void {
  process.stdout.write(`${new Date().toISOString()} ${message}\n`);
}
