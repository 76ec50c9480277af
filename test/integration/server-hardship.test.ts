// What befalls a server from outside: a window that is killed, a disk that is full, a clock that is set.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { findOrStartServer, findServer } from '../../extension/server-link/find-server.ts';
import { buildClockShim, fillDisk, mountSmallDisk } from '../reference/outside-trouble.ts';
import {
  cleanUp,
  commandLine,
  connect,
  eventually,
  ServeProcess,
  temporaryFolder,
  tinyModel,
} from './serve-process.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const mounted: string[] = [];
afterAll(async () => {
  for (const folder of mounted) spawnSync('umount', ['-l', folder]);
  await cleanUp();
});

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const metric = async ({ port, token }: { port: number; token: string }, name: string): Promise<number> => {
  const headers = { authorization: `Bearer ${token}` };
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`, { headers })).text();
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')
      .at(-1) ?? 0,
  );
};

describe('a window that is killed', () => {
  it('in the middle of a completion stops it; another window keeps the server, and nothing is left after it', async () => {
    const state = temporaryFolder('state');
    const program = join(temporaryFolder('window'), 'window.mjs');
    await build({
      ...{ entryPoints: [join(import.meta.dirname, 'window-process.ts')], outfile: program, bundle: true },
      ...{ platform: 'node', format: 'esm', logLevel: 'warning' },
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
    const model = tinyModel({ maxPositions: 8192 });
    const proxy = 'http://127.0.0.1:9';
    const window = spawn(process.execPath, [program, state, await commandLine(), model], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // A proxy that does not answer must not stand between a window and its server.
      env: {
        ...process.env,
        ...{ http_proxy: proxy, https_proxy: proxy, all_proxy: proxy, HTTP_PROXY: proxy, HTTPS_PROXY: proxy },
        ...{ no_proxy: '', NODE_USE_ENV_PROXY: '1' },
      },
    });
    const ended = new Promise((resolve) => window.once('exit', resolve));
    let said = '';
    window.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    await eventually('the completion', () => (said.includes('begun') ? true : undefined));
    const server = await eventually('the server', () => findServer(state));
    const other = await connect(server);
    window.kill('SIGKILL');
    await ended;
    await eventually('the end of its completion', async () =>
      (await metric(server, 'onebit_completions_total{outcome="cancelled"}')) === 1 ? true : undefined,
    );
    expect(await metric(server, 'onebit_unwanted_tokens_total')).toBeLessThanOrEqual(1);
    expect((await other.complete({ prefix: 'a', maxTokens: 2 })).timings.completionTokens).toBe(2);
    await other.close();
    await eventually('the end of the server', () => (isAlive(server.pid) ? undefined : true));
    expect(readdirSync(state).filter((name) => /^server\.(json|lock)/.test(name))).toEqual([]);
  });
});

function smallDisk(): string | undefined {
  const folder = temporaryFolder('disk');
  if (!mountSmallDisk(folder)) return undefined;
  mounted.push(folder);
  return folder;
}

const disk = smallDisk();

describe.skipIf(disk === undefined)('a full disk under the state folder', () => {
  it('refuses jobs with the cause, serves on, loses nothing, and is forgotten when there is room', async () => {
    const state = join(disk ?? '', 'state');
    mkdirSync(state);
    const options = {
      ...{ stateFolder: state, node: process.execPath, cli: await commandLine(), timeoutMs: 60_000 },
      args: ['--lease-seconds', '60'],
    };
    const model = tinyModel({ layout: 'full' });
    const source = { kind: 'quantize' as const, model };
    const server = await findOrStartServer(options);
    const client = await connect(server);
    const first = await client.request('job/start', { ...source, output: join(model, 'first') });
    const jobDone = (id: string) =>
      eventually('the job', async () => {
        const job = (await client.request('job/list', {})).find((each) => each.id === id);
        return job !== undefined && job.state !== 'queued' && job.state !== 'running' ? job : undefined;
      });
    expect(await jobDone(first.id)).toMatchObject({ state: 'done' });

    const filling = fillDisk(disk ?? '');
    await expect(
      client.request('job/start', { ...source, output: join(model, 'second') }),
    ).rejects.toMatchObject({ code: 'no-space', message: expect.stringContaining(state) });
    // A model of a new folder: it is to be remembered on the full disk, and its line goes into the full log.
    const other = tinyModel({ seed: 4 });
    await client.request('model/load', { model: other });
    expect((await client.complete({ prefix: 'a', maxTokens: 3 })).timings.completionTokens).toBe(3);
    expect((await client.request('job/list', {})).map(({ state: each }) => each)).toEqual(['done']);
    expect(isAlive(server.pid)).toBe(true);

    // Killed while it is full: the next one cannot start, and says why.
    process.kill(server.pid, 'SIGKILL');
    await eventually('its end', () => (isAlive(server.pid) ? undefined : true));
    await client.close();
    await expect(findOrStartServer(options)).rejects.toThrow(/could not be started/);

    rmSync(filling);
    const next = await findOrStartServer(options);
    const again = await connect(next);
    expect((await again.request('job/list', {})).map(({ state: each }) => each)).toEqual(['done']);
    await again.request('model/load', { model: other });
    const third = await again.request('job/start', { ...source, output: join(model, 'third') });
    await eventually('the job', async () => {
      const job = (await again.request('job/list', {})).find((each) => each.id === third.id);
      return job?.state === 'done' ? true : undefined;
    });
    await again.request('server/stop', {}).catch(() => {});
    await again.close();
    await eventually('its end', () => (isAlive(next.pid) ? undefined : true));
    expect(readdirSync(state).filter((name) => /^server\.(json|lock)/.test(name))).toEqual([]);
  });
});

const shim = buildClockShim(temporaryFolder('clock'));
const day = 86_400;

describe.skipIf(shim === undefined)('a clock that is set', () => {
  it('by days forward and back ends no lease, no completion and no lock', async () => {
    const state = temporaryFolder('state');
    const shift = join(state, 'shift');
    const set = (seconds: number): void => writeFileSync(shift, String(seconds));
    set(0);
    const environment = { LD_PRELOAD: shim ?? '', CLOCK_SHIFT: shift };
    const seen = (): string =>
      execFileSync(process.execPath, ['-p', 'new Date().toISOString()'], {
        env: { ...process.env, ...environment },
        encoding: 'utf8',
      }).trim();
    const away = (): number => (Date.parse(seen()) - Date.now()) / 1000;
    expect(Math.abs(away())).toBeLessThan(day / 2);

    const model = tinyModel({ maxPositions: 4096 });
    const options = {
      ...{ stateFolder: state, node: process.execPath, cli: await commandLine(), environment },
      ...{ timeoutMs: 60_000, args: ['--lease-seconds', '3', '--model', model] },
    };
    const server = await findOrStartServer(options);
    const client = await connect(server);
    const running = client.complete({ prefix: 'a', maxTokens: 200, maxMilliseconds: 600_000 });
    for (const days of [400, -400]) {
      set(days * day);
      expect(Math.abs(away() - days * day)).toBeLessThan(day / 2);
      // The lease is held although its time is over by that clock; the lock is its own.
      await sleep(200);
      expect((await findOrStartServer(options)).pid).toBe(server.pid);
      const second = await ServeProcess.spawn([], state);
      expect((await second.ended).code).toBe(3);
      expect((await client.complete({ prefix: 'b', maxTokens: 2 })).finishReason).toBe('length');
    }
    expect(await running).toMatchObject({ finishReason: 'length' });
    const log = readFileSync(join(state, 'server.log'), 'utf8');
    const year = new Date().getUTCFullYear();
    process.kill(server.pid, 'SIGKILL');
    await eventually('its end', () => (isAlive(server.pid) ? undefined : true));
    await client.close();
    // A stale lock from what is the future now, 400 days ahead, is stale all the same.
    const next = await findOrStartServer(options);
    expect(next.pid).not.toBe(server.pid);
    expect(log).toContain(`${year}-`);
    // Nobody holds a lease: it ends after three real seconds, wherever the clock goes meanwhile.
    set(400 * day);
    await eventually('its end', () => (isAlive(next.pid) ? undefined : true));
    expect(existsSync(join(state, 'server.lock'))).toBe(false);
    expect(readFileSync(join(state, 'server.log'), 'utf8')).toContain(
      new Date(Date.now() + 400 * day * 1000).toISOString().slice(0, 7),
    );
  });
});
