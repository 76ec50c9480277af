import { expect, test } from 'vitest';
import { askHealth, findServer } from '../../extension/server-link/find-server.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extensionHosts, serverProcesses } from './harness/processes.ts';
import { until, useWorkbench, type Workbench } from './harness/workbench.ts';

const workbench = useWorkbench({
  settings: () => ({ 'editor.autoClosingBrackets': 'never' }),
  prepare: async ({ workspace }) => {
    const text = 'export function run(values: number[]): number {\n';
    for (const name of ['first.ts', 'second.ts']) await writeFile(join(workspace, name), text);
  },
});

const processes = () => serverProcesses(workbench().folders.state);
const statusIs = (text: string) =>
  until(`the status bar says ${text}`, async () => (await workbench().status.innerText()).trim() === text);

async function start(): Promise<number> {
  await workbench().command('OneBit: Start Server');
  await statusIs('OneBit');
  const [server, ...more] = await processes();
  expect(more).toEqual([]);
  if (server === undefined) throw new Error('No server process.');
  return server.pid;
}

test('a server that was killed comes back by itself; after the third time in a row the status bar says why not', async () => {
  let pid = await start();
  for (let times = 0; times < 2; times++) {
    process.kill(pid, 'SIGKILL');
    await until('there is another', async () => (await processes()).some((other) => other.pid !== pid));
    await until('it is connected', async () => (await workbench().status.innerText()).trim() === 'OneBit');
    pid = (await processes())[0]?.pid ?? 0;
  }
  await workbench().picture('lifetime-1-came-back');
  process.kill(pid, 'SIGKILL');
  await statusIs('OneBit: error');
  await workbench().status.hover();
  await workbench().page.locator('.workbench-hover', { hasText: '3 times in a row' }).waitFor();
  await workbench().picture('lifetime-1-gave-up');
  await workbench().page.keyboard.press('Escape');
  // Its user starts it again.
  await start();
});

test('an extension host that was killed leaves no server behind, and the next one starts one', async () => {
  const [host] = await extensionHosts(workbench().folders.state);
  if (host === undefined) throw new Error('No extension host.');
  process.kill(host.pid, 'SIGKILL');
  await until('the server is gone', async () => (await processes()).length === 0);
  await until('VS Code has started extensions anew', async () => {
    const hosts = await extensionHosts(workbench().folders.state);
    return hosts.some(({ pid }) => pid !== host.pid);
  });
  await statusIs('OneBit: stopped');
  await start();
});

/** Types until there is ghost text. */
async function typeForGhostText(window: Workbench, file: string): Promise<void> {
  await window.openFile(file);
  await window.page.keyboard.press('Control+End');
  for (const text of ['  for (let i = 0; i < values.len', 'g', 'th', '; i', '++', ') {']) {
    await window.page.keyboard.type(text, { delay: 20 });
    for (let look = 0; look < 20; look++) {
      if ((await window.ghostText()) !== '') return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  throw new Error(`The model says nothing in ${file}.`);
}

/** Connections that the server has. */
async function leases(): Promise<number> {
  const server = await findServer(workbench().folders.state);
  return (server === undefined ? undefined : await askHealth(server))?.clients ?? 0;
}

test('two windows share one server, which completes in both', async () => {
  const second = await workbench().secondWindow();
  try {
    await second.command('OneBit: Start Server');
    await until('it is connected', async () => !/stopped|starting/.test(await second.status.innerText()));
    expect(await processes()).toHaveLength(1);
    await until('both windows have their lease', async () => (await leases()) === 2);
    await Promise.all([typeForGhostText(workbench(), 'first.ts'), typeForGhostText(second, 'second.ts')]);
    expect(await processes()).toHaveLength(1);
    await workbench().picture('lifetime-2-first-window');
    await second.picture('lifetime-2-second-window');
    await second.command('OneBit: Stop Server');
    await until('it is gone', async () => (await processes()).length === 0);
    await statusIs('OneBit: stopped');
    await workbench().picture('lifetime-2-stopped');
    // Longer than the first wait of the back-off: nobody starts what a user stopped.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(await processes()).toEqual([]);
  } finally {
    await second.page.context().close();
  }
});

test('no process is left after the window was closed', async () => {
  await start();
  await workbench().closeWindow();
  await until('all are gone', async () => (await processes()).length === 0);
});
