import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { findOrStartServer, findServer } from '../../extension/server-link/find-server.ts';
import { alreadyRunningExitCode, stoppedReason } from '../../server/protocol/discovery.ts';
import {
  cleanUp,
  commandLine,
  connect,
  eventually,
  ServeProcess,
  temporaryFolder,
  tinyModel,
} from './serve-process.ts';

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

afterAll(cleanUp);

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const ended = (pid: number): Promise<true> =>
  eventually(`the end of process ${pid}`, () => (isAlive(pid) ? undefined : true));

describe('one server a user', () => {
  it('keeps its token for the user alone, and removes its files when it is told to stop', async () => {
    const server = await ServeProcess.start([]);
    const file = join(server.stateFolder, 'server.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const exit = await server.stop();
    expect(exit).toEqual({ code: 0, signal: null });
    expect(existsSync(file)).toBe(false);
    expect(readdirSync(server.stateFolder).filter((name) => name.startsWith('server'))).toEqual([]);
  });

  it('lets a second one find the first and say so', async () => {
    const first = await ServeProcess.start([]);
    const second = await ServeProcess.spawn([], first.stateFolder);
    expect(await second.ended).toEqual({ code: alreadyRunningExitCode, signal: null });
    expect(second.output).toContain(`process ${first.file.pid}`);
    expect(second.output).toContain(`:${first.file.port}`);
    expect((await findServer(first.stateFolder))?.pid).toBe(first.file.pid);
    await first.stop();
  });

  it('takes over what a killed server has left', async () => {
    const first = await ServeProcess.start([]);
    first.child.kill('SIGKILL');
    await first.ended;
    expect(existsSync(join(first.stateFolder, 'server.lock'))).toBe(true);
    expect(await findServer(first.stateFolder)).toBeUndefined();
    const second = await ServeProcess.start([], first.stateFolder);
    expect(second.file.pid).not.toBe(first.file.pid);
    await second.stop();
  });

  it.each([
    ['of another boot', { pid: process.pid, bootId: 'another', startTicks: '1' }],
    [
      'whose process number belongs to another process now',
      { pid: process.pid, bootId: '', startTicks: '1' },
    ],
    ['that is cut short', undefined],
  ])('takes over a lock %s', async (_, owner) => {
    const folder = temporaryFolder('state');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'server.lock'), owner === undefined ? '{"pid":' : JSON.stringify(owner));
    const server = await ServeProcess.start([], folder);
    expect((JSON.parse(readFileSync(join(folder, 'server.lock'), 'utf8')) as { pid: number }).pid).toBe(
      server.file.pid,
    );
    await server.stop();
  });

  it('lets only one of several that start at once through', async () => {
    const folder = temporaryFolder('state');
    writeFileSync(
      join(folder, 'server.lock'),
      JSON.stringify({ pid: 2 ** 22 - 3, bootId: '', startTicks: '1' }),
    );
    await commandLine();
    const all = await Promise.all([1, 2, 3].map(() => ServeProcess.spawn([], folder)));
    await eventually('two refusals', () =>
      all.filter(({ exited }) => exited).length === 2 ? true : undefined,
    );
    const [running] = all.filter(({ exited }) => !exited);
    const found = await eventually('the server', () => findServer(folder));
    expect(found.pid).toBe(running?.child.pid);
    await running?.stop();
  });

  it('says which port is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const server = await ServeProcess.spawn(['--port', String(port)]);
    expect((await server.ended).code).toBe(1);
    expect(server.output).toContain(`Port ${port}`);
    expect(existsSync(join(server.stateFolder, 'server.lock'))).toBe(false);
    other.close();
  });
});

describe('leases', () => {
  it('two windows that start at once share one server, which ends after the last has gone', async () => {
    const stateFolder = temporaryFolder('state');
    const start = {
      stateFolder,
      node: process.execPath,
      cli: await commandLine(),
      args: ['--lease-seconds', '3'],
    };
    const [one, two] = await Promise.all([findOrStartServer(start), findOrStartServer(start)]);
    expect(one).toEqual(two);
    const first = await connect(one);
    const second = await connect(one);
    await first.close();
    expect((await second.request('model/status', {})).state).toBe('none');
    const again = await findOrStartServer(start);
    expect(again.pid).toBe(one.pid);
    await second.close();
    await ended(one.pid);
    expect(await findServer(stateFolder)).toBeUndefined();
  });

  it('a server to which nobody comes ends as well', async () => {
    const server = await ServeProcess.start(['--lease', '--lease-seconds', '0.2']);
    expect((await server.ended).code).toBe(0);
  });

  it('says why a server could not be started', async () => {
    const stateFolder = temporaryFolder('state');
    const cli = await commandLine();
    await expect(
      findOrStartServer({ stateFolder, node: process.execPath, cli, args: ['--no-such-option'] }),
    ).rejects.toThrow(/--no-such-option/);
    await expect(findOrStartServer({ stateFolder, node: '/no/such/node', cli })).rejects.toThrow(
      /no\/such\/node/,
    );
  });
});

describe('stopping', () => {
  it('answers server/stop, tells every client, and ends', async () => {
    const server = await ServeProcess.start([]);
    const [one, two] = [await connect(server.file), await connect(server.file)];
    const told = new Promise<string>((resolve) => two.onClose(resolve));
    await one.request('server/stop', {});
    expect(await told).toBe(stoppedReason);
    expect((await server.ended).code).toBe(0);
  });

  it('cancels a generation when it is told to end', async () => {
    const model = tinyModel({ infill: false, maxPositions: 4096 });
    const server = await ServeProcess.start(['--model', model]);
    const client = await connect(server.file);
    let answer: Promise<unknown> | undefined;
    const begun = new Promise<void>((resolve) => {
      answer = client.complete({ prefix: 'a', maxTokens: 4000 }, () => resolve());
      answer.catch(() => {});
    });
    await begun;
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    await expect(answer).rejects.toMatchObject({ code: 'disconnected' });
  });

  it('gives the weights back after the idle time and loads them again on demand', async () => {
    const server = await ServeProcess.start(['--model', tinyModel(), '--idle-minutes', '0.002']);
    const client = await connect(server.file);
    await client.complete({ prefix: 'a', maxTokens: 1 });
    const state = async (wanted: string) =>
      eventually(wanted, async () =>
        (await client.request('model/status', {})).state === wanted ? true : undefined,
      );
    await state('unloaded');
    expect((await client.complete({ prefix: 'a', maxTokens: 1 })).timings.completionTokens).toBe(1);
    await client.close();
    await server.stop();
  });
});
