import { spawn } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  alreadyRunningExitCode,
  healthSchema,
  loopbackHost,
  serverFileName,
  serverFileSchema,
  type Health,
  type ServerFile,
} from '../../server/protocol/discovery.ts';
import { OneBitError } from '../../server/protocol/error.ts';

const maxLogBytes = 1_000_000;

export interface StartServerOptions {
  /** Where server.json lies (`stateFolder` of the protocol gives the usual one). */
  stateFolder: string;
  /** The program that runs JavaScript: Node, or Electron (which is told to behave as Node). */
  node: string;
  /** The command line's bundle, dist/onebit.mjs. */
  cli: string;
  /** More arguments for `onebit serve`. */
  args?: string[];
  /** Environment variables beside those of this process. */
  environment?: Record<string, string>;
  /** Milliseconds until an unanswering start counts as failed (default 20 000). */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** What server.json says, or undefined if it is missing or malformed. It may be stale. */
export async function readServerFile(stateFolder: string): Promise<ServerFile | undefined> {
  try {
    const text = await readFile(join(stateFolder, serverFileName), 'utf8');
    return serverFileSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Asks a server how it is; undefined if it does not answer, refuses the token, or is another process. */
export async function askHealth(
  server: ServerFile,
  timeoutMs = 2000,
  signal?: AbortSignal,
): Promise<Health | undefined> {
  const body = await new Promise<string | undefined>((resolve) => {
    const asked = request(
      {
        host: loopbackHost,
        port: server.port,
        path: '/health',
        headers: { authorization: `Bearer ${server.token}` },
        timeout: timeoutMs,
        agent: false,
        signal,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text = (text + chunk).slice(0, 65_536)));
        response.on('end', () => resolve(text));
        response.on('error', () => resolve(undefined));
      },
    );
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(undefined));
    asked.end();
  });
  if (body === undefined) return undefined;
  try {
    const health = healthSchema.parse(JSON.parse(body));
    return health.pid === server.pid ? health : undefined;
  } catch {
    return undefined;
  }
}

/** The server of this user and machine, if one runs and answers. */
export async function findServer(stateFolder: string, signal?: AbortSignal): Promise<ServerFile | undefined> {
  const server = await readServerFile(stateFolder);
  if (server === undefined) return undefined;
  return (await askHealth(server, 2000, signal)) === undefined ? undefined : server;
}

/**
 * Finds the running server or starts one that ends by itself when its last client has gone. Two windows
 * that do this at once end up with the same server: the loser of the race finds the winner's.
 * @throws OneBitError with the server's last words if it does not start, or `cancelled`
 */
export async function findOrStartServer(options: StartServerOptions): Promise<ServerFile> {
  const running = await findServer(options.stateFolder, options.signal);
  if (running !== undefined) return running;

  const timeoutMs = options.timeoutMs ?? 20_000;
  const deadline = performance.now() + timeoutMs;
  let attempt = new StartAttempt(options);
  for (let pause = 30; ; pause = Math.min(pause * 1.5, 250)) {
    await sleep(pause);
    if (options.signal?.aborted) throw new OneBitError('cancelled', 'Cancelled.');
    const server = await findServer(options.stateFolder, options.signal);
    if (server !== undefined) return server;
    if (attempt.failure !== undefined) {
      const said = attempt.spawned ? `: ${await lastWords(options.stateFolder)}` : '';
      throw new OneBitError('internal', `The OneBit server could not be started (${attempt.failure})${said}`);
    }
    // It found another server, which was about to end: once that has gone, ours may start.
    if (attempt.foundAnother && performance.now() - attempt.endedAt > 1000)
      attempt = new StartAttempt(options);
    if (performance.now() > deadline) {
      throw new OneBitError(
        'internal',
        `The OneBit server did not answer within ${timeoutMs / 1000} s: ${await lastWords(options.stateFolder)}`,
      );
    }
  }
}

/** The file that a server started by `findOrStartServer` writes its messages to. */
export function serverLogPath(stateFolder: string): string {
  return join(stateFolder, 'server.log');
}

/** One `onebit serve --lease`, as a process of its own that outlives this one. */
class StartAttempt {
  /** Why it ended without serving. */
  failure: string | undefined;
  spawned = true;
  foundAnother = false;
  endedAt = 0;

  constructor(options: StartServerOptions) {
    mkdirSync(options.stateFolder, { recursive: true, mode: 0o700 });
    // Appended to: the log may be that of a server which another window has just started.
    const log = openSync(serverLogPath(options.stateFolder), 'a', 0o600);
    if (fstatSync(log).size > maxLogBytes) ftruncateSync(log);
    const child = spawn(options.node, [options.cli, 'serve', '--lease', ...(options.args ?? [])], {
      detached: true,
      // Not the window's folder: the server outlives the window.
      cwd: options.stateFolder,
      windowsHide: true,
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        ...options.environment,
        ELECTRON_RUN_AS_NODE: '1',
        ONEBIT_STATE: options.stateFolder,
      },
    });
    closeSync(log);
    child.once('error', (error) => {
      this.spawned = false;
      this.failure = `${options.node}: ${error.message}`;
    });
    child.once('exit', (code, signal) => {
      this.endedAt = performance.now();
      if (code === alreadyRunningExitCode) this.foundAnother = true;
      else this.failure ??= signal === null ? `exit code ${code}` : `killed by ${signal}`;
    });
    child.unref();
  }
}

/** The end of the server's log, for an error message. */
async function lastWords(stateFolder: string): Promise<string> {
  const path = serverLogPath(stateFolder);
  const text = await readFile(path, 'utf8').catch(() => '');
  const lines = text.trim().split('\n').slice(-5).join('\n');
  return lines === '' ? `it said nothing (${path})` : lines;
}
