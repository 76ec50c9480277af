import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Locator } from 'playwright-core';
import { expect, test } from 'vitest';
import { root, starterTeacher } from './harness/places.ts';
import { serverProcesses } from './harness/processes.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const workbench = useWorkbench({
  settings: () => ({ 'onebit.completion.enabled': false }),
  // What a window resumes lies in what is open in it.
  prepare: async ({ workspace }) => {
    await cp(starterTeacher, join(workspace, 'teacher'), { recursive: true });
    await cp(join(root, 'extension'), join(workspace, 'code'), { recursive: true });
  },
});

/** One of the two views of the activity bar. */
const view = (name: 'Models' | 'Jobs'): Locator =>
  workbench().page.locator('.composite.viewlet .pane', {
    has: workbench().page.locator('.pane-header', { hasText: name }),
  });
const row = (name: 'Models' | 'Jobs', text: string): Locator =>
  view(name).locator('.monaco-list-row', { hasText: text });
/** An icon in a row, which is there while the pointer is on the row. */
const action = async (of: Locator, title: string): Promise<Locator> => {
  await of.hover();
  return of.locator(`.actions .action-label[aria-label^="${title}"]`);
};

test('the views start nothing; they offer to', async () => {
  await workbench().page.locator('.activitybar .action-item a[aria-label="OneBit"]').click();
  await view('Models').getByText('Start Server').waitFor();
  await view('Jobs').getByText('are listed here').waitFor();
  expect(await serverProcesses(workbench().folders.state)).toEqual([]);
  await workbench().picture('views-1-empty');
});

test('the models that the server knows, the one in use marked, layers a click away', async () => {
  await view('Models').getByText('Start Server').click();
  await row('Models', 'Starter model').filter({ hasText: 'in use' }).waitFor();
  await view('Jobs').getByText('No job yet').waitFor();
  await workbench().picture('views-2-models');
  await (await action(row('Models', 'Starter model'), 'Inspect Layers')).click();
  const { webview } = workbench();
  await webview.locator('.layers-scroll vscode-data-grid-row').nth(2).waitFor();
  await workbench().picture('views-3-layers');
});

test('a job is followed while it runs, is cancelled and goes on', async () => {
  const { workspace } = workbench().folders;
  const teacher = join(workspace, 'teacher');
  const client = await workbench().client();
  try {
    const { id } = await client.request('job/start', {
      ...{ kind: 'distill', teacher, steps: 100_000 },
      data: [join(workspace, 'code')],
      output: join(workspace, 'student'),
    });
    const job = row('Jobs', 'Distill teacher');
    await job.filter({ hasText: '%' }).waitFor();
    await workbench().picture('views-4-running');
    await (await action(job, 'Cancel This Job')).click();
    await job.filter({ hasText: 'cancelled' }).waitFor();
    await (await action(job, 'Resume This Job')).click();
    // The job that goes on is a new one of the same folders.
    await row('Jobs', 'Distill teacher').nth(1).waitFor();
    const jobs = await client.request('job/list', {});
    const resumed = jobs.find((each) => each.id !== id);
    expect(resumed?.spec).toMatchObject({ kind: 'distill', teacher });
    if (resumed !== undefined) await client.request('job/cancel', { id: resumed.id });
    await until('nothing runs any more', async () =>
      (await client.request('job/list', {})).every(({ state }) => state !== 'running' && state !== 'queued'),
    );
  } finally {
    await client.close();
  }
});
