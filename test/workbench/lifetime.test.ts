import { expect, test } from 'vitest';
import { serverProcesses } from './harness/processes.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const workbench = useWorkbench();

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

test('a server that was killed comes back by itself', async () => {
  const pid = await start();
  process.kill(pid, 'SIGKILL');
  await until('there is another', async () => (await processes()).some((other) => other.pid !== pid));
  await until('it is connected', async () => !/stopped|starting/.test(await workbench().status.innerText()));
  await workbench().picture('lifetime-1-came-back');
});

test('two windows share one server', async () => {
  const second = await workbench().secondWindow();
  try {
    await second.command('OneBit: Start Server');
    await until('it is connected', async () => !/stopped|starting/.test(await second.status.innerText()));
    expect(await processes()).toHaveLength(1);
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
