import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { root, starterTeacher } from '../harness/places.ts';
import { serverProcesses } from '../harness/processes.ts';
import { useWorkbench } from '../harness/workbench.ts';
import { throttle } from './duty-cycle.ts';
import { memoryFlag, readFrameMemory, type FrameMemory } from './frame-memory.ts';

const minutes = Number(process.env['ONEBIT_BENCH_MINUTES'] ?? 60);
const file = process.env['ONEBIT_BENCH_FILE'];
/** Share of a core that the run gets, so that nothing else on the machine is much slower for an hour. */
const share = 0.12;

const workbench = useWorkbench({
  settings: () => ({ 'onebit.completion.enabled': false }),
  browserFlags: [memoryFlag],
});

interface Reading extends FrameMemory {
  minute: number;
  /** Steps that the panel shows. */
  step: number;
}

test('the panel during a run', async () => {
  await workbench().command('OneBit: Start Server');
  await workbench().command('OneBit: Open Panel');
  const { webview, page, folders } = workbench();
  await webview.locator('table.parts tr[data-part="signs"]').waitFor();
  const client = await workbench().client();
  const { id } = await client.request('job/start', {
    ...{ kind: 'distill', teacher: starterTeacher, data: [join(root, 'extension'), join(root, 'server')] },
    ...{ output: join(folders.workspace, 'student'), steps: 1_000_000 },
    // Small steps: thousands in the hour, although the run gets little of the machine.
    ...{ window: 64, batch: 1 },
  });
  await webview.getByRole('tab', { name: 'Runs' }).click();
  await webview.locator('.section-curve canvas').first().waitFor();
  const job = (await serverProcesses(folders.state)).find(({ command }) => command.includes(' distill '));
  if (job === undefined) throw new Error('No process trains.');
  const end = throttle(job.pid, share);
  const cdp = await page.context().newCDPSession(page);
  const readings: Reading[] = [];
  try {
    const started = Date.now();
    for (let minute = 0; minute <= minutes; minute++) {
      await sleep(Math.max(0, started + minute * 60_000 - Date.now()));
      // Both tabs that show a run live, in turn; the reading is of the tab with the curves.
      if (minute % 2 === 1) {
        await webview.getByRole('tab', { name: 'Footprint' }).click();
        // Without its table, once the server has given up the model that nobody asks anything.
        await webview.locator('#panel-footprint').waitFor();
        await webview.getByRole('tab', { name: 'Runs' }).click();
        await webview.locator('.section-curve canvas').first().waitFor();
      }
      const shown = await webview.locator('.curve-step').innerText();
      const step = Number(/[\d,]+/.exec(shown)?.[0].replaceAll(',', '') ?? NaN);
      const reading = { minute, step, ...(await readFrameMemory(page, cdp)) };
      readings.push(reading);
      console.log(JSON.stringify(reading));
      // After every reading: an hour is long.
      if (file !== undefined) await writeFile(file, JSON.stringify({ minutes, share, readings }));
    }
  } finally {
    end();
    await client.request('job/cancel', { id });
    await client.close();
  }
  expect(readings.at(-1)?.step).toBeGreaterThan(readings[0]?.step ?? Infinity);
  await workbench().picture('panel-hour');
});
