// Files that are left out of completions, in two windows of one user. That the settings of one window reach another is
// not shown here: code-server's windows do not see what another one writes (test/unit/extension has a test of what follows).
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'vitest';
import { until, useWorkbench, type Workbench } from './harness/workbench.ts';

const workbench = useWorkbench({
  prepare: async ({ workspace }) => {
    for (const name of ['one.ts', 'two.ts']) await writeFile(join(workspace, name), 'const one = 1;\n');
  },
});

const statusIs = (window: Workbench, text: string) =>
  until(`the status bar says ${text}`, async () => (await window.status.innerText()).trim() === text);
const [on, offHere] = ['OneBit: stopped', 'OneBit: off here'];

test('a file that one window leaves out is off in the other, which takes it in again', async () => {
  const second = await workbench().secondWindow();
  try {
    for (const window of [workbench(), second]) {
      await window.openFile('one.ts');
      await statusIs(window, on);
    }
    await workbench().command('OneBit: Toggle Completions for This File');
    await statusIs(workbench(), offHere);
    await statusIs(second, offHere);
    await second.picture('switches-1-file-off-in-the-other');
    // It is this file only.
    await second.openFile('two.ts');
    await statusIs(second, on);
    await second.openFile('one.ts');
    await statusIs(second, offHere);
    await second.status.click();
    for (const window of [second, workbench()]) await statusIs(window, on);
  } finally {
    await second.page.context().close();
  }
});

test('a file that is left out right before the window is reloaded stays left out', async () => {
  await workbench().openFile('one.ts');
  await workbench().command('OneBit: Toggle Completions for This File');
  await statusIs(workbench(), offHere);
  await workbench().reload();
  await workbench().openFile('one.ts');
  await statusIs(workbench(), offHere);
  await workbench().openFile('two.ts');
  await statusIs(workbench(), on);
});
