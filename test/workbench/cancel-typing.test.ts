import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readServerFile } from '../../extension/server-link/find-server.ts';
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

/** Completions that were cancelled so far, as the server counts them. */
async function cancelled(): Promise<number> {
  const server = await readServerFile(workbench().folders.state);
  const response = await fetch(`http://127.0.0.1:${server?.port}/metrics`, {
    headers: { authorization: `Bearer ${server?.token}` },
  });
  const [, count = '0'] =
    /^onebit_completions_total\{outcome="cancelled"\} (\d+)$/m.exec(await response.text()) ?? [];
  return Number(count);
}

test('a keystroke cancels the completion that was asked for before', async () => {
  await workbench().command('OneBit: Start Server');
  await until('the model is there', async () => (await workbench().status.innerText()).trim() === 'OneBit');
  const client = await workbench().client();
  try {
    let most = 0;
    await client.request('subscribe', { topics: ['model'] });
    client.onNotification('model/changed', ({ active, queued }) => {
      most = Math.max(most, active + queued);
    });
    const busy = async (): Promise<number> => {
      const { active, queued } = await client.request('model/status', {});
      return active + queued;
    };
    await workbench().openFile('notes.txt');
    // No space among them: a completion of words begins with one, and would go on. VS Code itself may ask twice for
    // one keystroke, and cancels the first: hence "at least".
    for (const [index, character] of [...'const_x'].entries()) {
      await workbench().page.keyboard.type(character);
      await until('the former is cancelled', async () => (await cancelled()) >= index);
      await until('a completion runs', async () => (await busy()) === 1);
    }
    await workbench().picture('cancel-1-generating');
    // Without cancellation seven would be waiting by now. Two: the old one ends with its current token.
    expect(most).toBeLessThanOrEqual(2);

    await workbench().page.keyboard.press('Escape');
    await workbench().command('OneBit: Toggle Completions');
    await workbench().page.keyboard.type(' ');
    await until('nothing runs', async () => (await busy()) === 0, 20_000);
    await until('the last is counted', async () => (await cancelled()) >= 7, 20_000);
    await workbench().noGhostText();
    await workbench().picture('cancel-2-cancelled');
  } finally {
    await client.close();
  }
});
