import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeSlowModel } from './harness/slow-model.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const workbench = useWorkbench({
  settings: ({ base }) => ({
    'onebit.server.model': join(base, 'slow-model'),
    'onebit.completion.maxTokens': 1024,
    'onebit.completion.debounceMs': 50,
  }),
  prepare: async ({ base, workspace }) => {
    await writeSlowModel(join(base, 'slow-model'));
    await writeFile(join(workspace, 'notes.txt'), '');
  },
});

test('a keystroke cancels the completion that was asked for before', async () => {
  await workbench().command('OneBit: Start Server');
  await until('the model is there', async () => (await workbench().status.innerText()).trim() === 'OneBit');
  const client = await workbench().client();
  try {
    let most = 0;
    let starts = 0;
    let wasActive = false;
    await client.request('subscribe', { topics: ['model'] });
    client.onNotification('model/changed', ({ active, queued }) => {
      most = Math.max(most, active + queued);
      if (active > 0 && !wasActive) starts++;
      wasActive = active > 0;
    });
    const busy = async (): Promise<number> => {
      const { active, queued } = await client.request('model/status', {});
      return active + queued;
    };
    await workbench().openFile('notes.txt');
    // Each pause is longer than the debounce, and far shorter than a completion of this model takes.
    for (const character of 'const {') {
      await workbench().page.keyboard.type(character);
      await until('a completion runs', async () => (await busy()) > 0);
    }
    await workbench().picture('cancel-1-generating');
    // Without cancellation seven would be waiting by now. Two: the old one ends with its current token.
    expect(most).toBeLessThanOrEqual(2);
    expect(starts).toBeGreaterThan(0);

    await workbench().page.keyboard.press('Escape');
    await workbench().command('OneBit: Toggle Completions');
    await workbench().page.keyboard.type(' ');
    await until('nothing runs', async () => (await busy()) === 0, 5000);
    expect(await workbench().ghostText()).toBe('');
    await workbench().picture('cancel-2-cancelled');
  } finally {
    await client.close();
  }
});
