import { expect, test } from 'vitest';
import { serverProcesses } from './harness/processes.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const workbench = useWorkbench();

test('after activation there is a status bar item, and no server', async () => {
  await workbench().status.waitFor();
  expect(await workbench().status.innerText()).toContain('OneBit: stopped');
  await workbench().picture('activation-1-status');
  expect(await serverProcesses(workbench().folders.state)).toEqual([]);
});

test('the palette has the commands', async () => {
  await workbench().page.keyboard.press('F1');
  await workbench().page.locator('.quick-input-widget input.input').fill('>OneBit: ');
  const rows = workbench().page.locator('.quick-input-list .monaco-list-row');
  await until('all commands are listed', async () => (await rows.count()) >= 8);
  const titles = (await rows.allInnerTexts()).map((text) => text.trim());
  for (const title of ['Quantize Checkpoint to 1 Bit (SVID)', 'Distill a 1-Bit Student', 'Open Panel']) {
    expect(titles).toContain(`OneBit: ${title}`);
  }
  await workbench().picture('activation-2-palette');
  await workbench().page.keyboard.press('Escape');
});

test('one click on the status bar item switches completions off, another on', async () => {
  await workbench().status.click();
  await until('it is off', async () => (await workbench().status.innerText()).includes('OneBit: off'));
  await workbench().picture('activation-3-off');
  await workbench().status.click();
  await until('it is on', async () => (await workbench().status.innerText()).includes('OneBit: stopped'));
  expect(await serverProcesses(workbench().folders.state)).toEqual([]);
});

test('the menu does it, too', async () => {
  await workbench().command('OneBit: Show Menu');
  await workbench().picture('activation-4-menu');
  await workbench().pick('Turn Completions Off');
  await until('it is off', async () => (await workbench().status.innerText()).includes('OneBit: off'));
  await workbench().command('OneBit: Show Menu');
  await workbench().pick('Turn Completions On');
  await until('it is on', async () => (await workbench().status.innerText()).includes('OneBit: stopped'));
});
