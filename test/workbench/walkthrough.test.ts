import type { Locator } from 'playwright-core';
import { expect, test } from 'vitest';
import { until, useWorkbench } from './harness/workbench.ts';

const workbench = useWorkbench();

const step = (title: string): Locator =>
  workbench().page.locator('.getting-started-step', { hasText: title });
const isDone = (title: string): Promise<boolean> =>
  step(title)
    .locator('.codicon.complete')
    .count()
    .then((count) => count > 0);

test('four steps, each with its picture', async () => {
  await workbench().page.locator('.activitybar .action-item a[aria-label="OneBit"]').click();
  await workbench().page.getByText('Four first steps').click();
  await step('Start the shipped model').waitFor();
  expect(await workbench().page.locator('.getting-started-step').count()).toBe(4);
  // The picture is beside the steps where there is room.
  await workbench().page.keyboard.press('Control+B');
  await workbench().page.locator('.getting-started-media').first().waitFor();
  await workbench().picture('walkthrough-1');
});

test('the model is started', async () => {
  await step('Start the shipped model').getByText('Start the Server').click();
  await until('the step is done', () => isDone('Start the shipped model'));
});

test('it ends with a completion', async () => {
  await step('Get a completion').click();
  await workbench().picture('walkthrough-2');
  await step('Get a completion').getByText('Try It in a New File').click();
  await until('there is ghost text', async () => (await workbench().ghostText()).trim() !== '');
  await until('the step is done', () => isDone('Get a completion'));
  await workbench().picture('walkthrough-3-completion');
});

test('and a look at a layer', async () => {
  await step('Look at a layer').click();
  await step('Look at a layer').getByText('Inspect Layers').click();
  const { webview } = workbench();
  await webview.locator('.layers-scroll vscode-data-grid-row').nth(2).waitFor();
  await workbench().picture('walkthrough-4-layers');
});
