import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findServer, serverLogPath } from '../../extension/server-link/find-server.ts';
import { ModelLoader } from '../../extension/server-link/model-loader.ts';
import { OpenFolders } from '../../extension/server-link/open-folders.ts';
import { ServerLink } from '../../extension/server-link/server-link.ts';
import { ServerWatch } from '../../extension/server-link/server-watch.ts';
import { packageVersion } from '../../server/package-root.ts';
import { cleanUp, commandLine, eventually, temporaryFolder, tinyModel } from './serve-process.ts';

let cli: string;
const links: ServerLink[] = [];

beforeAll(async () => {
  cli = await commandLine();
});
afterEach(async () => {
  await Promise.all(links.splice(0).map((link) => link.dispose()));
});
afterAll(cleanUp);

/** What the user of all windows has opened. */
const folders = new OpenFolders(
  () => [tmpdir()],
  () => [],
  { get: (_key, fallback) => fallback, update: () => Promise.resolve() },
);

/** The link of one window. */
function window(stateFolder: string, version = packageVersion()): ServerLink {
  const link = new ServerLink({
    version,
    folders,
    start: () => ({
      stateFolder,
      node: process.execPath,
      cli,
      args: ['--lease-seconds', '4'],
      timeoutMs: 60_000,
    }),
    log: () => {},
  });
  links.push(link);
  return link;
}

const pidOf = async (stateFolder: string): Promise<number | undefined> =>
  (await findServer(stateFolder))?.pid;
const connected = (link: ServerLink): Promise<true> =>
  eventually('the connection', () => (link.state.state === 'connected' ? true : undefined));
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const ended = (pid: number | undefined): Promise<true> =>
  eventually('the end of the server', () => (pid !== undefined && isAlive(pid) ? undefined : true));

describe("a window's link to the server", () => {
  it('starts nothing by itself, one server for two windows, and leaves none behind', async () => {
    const state = temporaryFolder('state');
    const [first, second] = [window(state), window(state)];
    expect(await first.attach()).toBe(false);
    expect(first.state).toEqual({ state: 'stopped' });
    await Promise.all([first.connect(), second.connect()]);
    const pid = await pidOf(state);
    expect((await first.request('server/hello', { client: 'test', version: '0' })).pid).toBe(pid);
    expect((await second.request('server/hello', { client: 'test', version: '0' })).pid).toBe(pid);
    await first.dispose();
    await second.request('model/status', {});
    await second.dispose();
    await ended(pid);
  });

  it('comes back by itself, with its topics, after the server was killed', async () => {
    const state = temporaryFolder('state');
    const link = window(state);
    const states: string[] = [];
    link.onDidChangeState(({ state: name }) => states.push(name));
    let news = 0;
    link.subscribe(['model']);
    link.onNotification('model/changed', () => news++);
    await link.connect();
    const pid = await pidOf(state);
    if (pid === undefined) throw new Error('No server.');
    process.kill(pid, 'SIGKILL');
    await eventually('the loss', () => (states.includes('stopped') ? true : undefined));
    // What nobody asked for must not hurry the next start.
    await expect(link.connect({ asked: false })).rejects.toThrow(/not reachable/);
    await connected(link);
    expect(await pidOf(state)).not.toBe(pid);
    await link.request('model/load', { model: tinyModel() });
    await eventually('model/changed', () => (news > 0 ? true : undefined));
  });

  it.each(['SIGKILL', 'SIGSEGV', 'SIGABRT'] as const)(
    'survives a server that crashed with a model in memory, as a driver may (%s)',
    async (signal) => {
      const state = temporaryFolder('state');
      const link = window(state);
      const watch = new ServerWatch(link, () => {});
      const model = tinyModel();
      const models = new ModelLoader(link, watch, () => ({ model, contextLength: 64, device: 'cpu' }));
      await link.connect();
      await models.ensureLoaded();
      const completion = { prefix: 'const a', maxTokens: 4, temperature: 0 };
      const { text } = await link.complete(completion);
      const pid = await pidOf(state);
      if (pid === undefined) throw new Error('No server.');
      // In the middle of a completion, which is told so.
      const running = link.complete({ ...completion, maxTokens: 4096 });
      process.kill(pid, signal);
      // In words for people: commands and the panel show them as they are.
      await expect(running).rejects.toMatchObject({
        code: 'disconnected',
        message: 'The OneBit server is gone: its process ended.',
      });
      await ended(pid);
      await connected(link);
      // As the next completion of the editor does it.
      await models.ensureLoaded();
      expect((await link.request('model/status', {})).model?.path).toBe(model);
      expect((await link.complete(completion)).text).toBe(text);
      expect(await pidOf(state)).not.toBe(pid);
      watch.dispose();
    },
  );

  it('gives up after the third crash in a row, says so, and starts again when it is asked to', async () => {
    const state = temporaryFolder('state');
    const link = window(state);
    await link.connect();
    const crash = async (): Promise<void> => {
      const pid = await eventually('the server', () => pidOf(state));
      const gone = eventually('the loss', () => (link.state.state === 'connected' ? undefined : true));
      process.kill(pid, 'SIGKILL');
      await gone;
    };
    for (let count = 0; count < 2; count++) {
      await crash();
      await connected(link);
    }
    await crash();
    expect(link.state).toMatchObject({ state: 'failed' });
    for (const words of ['3 times in a row', 'Start Server', serverLogPath(state)])
      expect(link.state.error).toContain(words);
    // Longer than the wait that would be next: neither a timer nor a keystroke starts it.
    await sleep(4500);
    await expect(link.connect({ asked: false })).rejects.toThrow(/3 times in a row/);
    expect(await pidOf(state)).toBeUndefined();
    expect(link.state.state).toBe('failed');
    await link.connect();
    expect(link.state).toEqual({ state: 'connected' });
  });

  it('leaves a server stopped that a user stopped, in all windows, until a user starts it', async () => {
    const state = temporaryFolder('state');
    const [first, second] = [window(state), window(state)];
    await first.connect();
    await second.connect();
    const pid = await pidOf(state);
    await first.stop();
    await ended(pid);
    await eventually('the news', () => (second.state.state === 'stopped' ? true : undefined));
    for (const link of [first, second]) {
      await expect(link.connect({ asked: false })).rejects.toThrow(/was stopped/);
    }
    expect(await pidOf(state)).toBeUndefined();
    await first.connect();
    // The other window may use it again, without being asked.
    await second.connect({ asked: false });
    expect(second.state.state).toBe('connected');
  });

  it('replaces an idle server of another version, and not one that is in use', async () => {
    const state = temporaryFolder('state');
    const user = window(state);
    await user.connect();
    const pid = await pidOf(state);
    await window(state, '99.0.0').connect();
    expect(await pidOf(state)).toBe(pid);
    await Promise.all(links.splice(0).map((link) => link.dispose()));

    const again = window(state);
    await again.connect();
    const before = await pidOf(state);
    await again.dispose();
    const newer = window(state, '99.0.0');
    await newer.connect();
    expect(newer.state.state).toBe('connected');
    expect(await pidOf(state)).not.toBe(before);
  });

  it('says why there is no server, and does not try at once again', async () => {
    const link = new ServerLink({
      version: packageVersion(),
      folders,
      start: () => ({ stateFolder: temporaryFolder('state'), node: '/no/such/node', cli }),
      log: () => {},
    });
    links.push(link);
    await expect(link.connect()).rejects.toThrow(/could not be started.*no\/such\/node/s);
    expect(link.state).toMatchObject({ state: 'failed', error: expect.stringContaining('/no/such/node') });
    await expect(link.connect({ asked: false })).rejects.toThrow(/no\/such\/node/);
  });
});

describe('what a window knows of the server', () => {
  it('follows the model, and loads the wanted one only where there is none', async () => {
    const state = temporaryFolder('state');
    const link = window(state);
    const watch = new ServerWatch(link, () => {});
    let wanted = tinyModel();
    const models = new ModelLoader(link, watch, () => ({ model: wanted, contextLength: 64, device: 'cpu' }));
    expect(watch.model).toBeUndefined();
    await link.connect();
    await models.ensureLoaded();
    const ready = await eventually('the model', () =>
      watch.model?.state === 'ready' ? watch.model : undefined,
    );
    expect(ready.model?.path).toBe(wanted);
    expect(ready.memory?.contextLength).toBe(64);

    const other = tinyModel({ seed: 3 });
    wanted = other;
    await models.ensureLoaded();
    expect((await link.request('model/status', {})).model?.path).not.toBe(other);
    await models.load();
    expect((await link.request('model/status', {})).model?.path).toBe(other);
    watch.dispose();
    await link.dispose();
  });
});
