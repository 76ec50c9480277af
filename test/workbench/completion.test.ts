import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { trimCompletion } from '../../extension/completion/trim-completion.ts';
import { serverProcesses } from './harness/processes.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const before = `export function sum(values: number[]): number {
  let total = 0;
  for (const value of values) {
    total += value;
  }
  `;
const after = `
}
`;

const workbench = useWorkbench({
  // A proxy that does not answer must not stand between the extension and its server.
  settings: () => ({ 'http.proxy': 'http://127.0.0.1:9' }),
  prepare: ({ workspace }) => writeFile(join(workspace, 'sum.ts'), before + after),
});

const fileText = () => readFile(join(workbench().folders.workspace, 'sum.ts'), 'utf8');

test('typing starts the server and shows ghost text of the shipped model', async () => {
  expect(await serverProcesses(workbench().folders.state)).toEqual([]);
  await workbench().openFile('sum.ts');
  await workbench().page.keyboard.press('Control+G');
  await workbench().quickInput(':6,3', '');
  await workbench().page.keyboard.type('return ', { delay: 30 });
  await until('ghost text is shown', async () => (await workbench().ghostText()).trim() !== '');
  await workbench().picture('completion-1-ghost-text');
  expect(await serverProcesses(workbench().folders.state)).toHaveLength(1);
});

test('the ghost text is what the server answers, and Tab inserts it', async () => {
  const ghost = await workbench().ghostText();
  const client = await workbench().client();
  try {
    const answer = await client.complete({
      prefix: `${before}return `,
      suffix: after,
      language: 'typescript',
      path: 'sum.ts',
      maxTokens: 64,
      singleLine: true,
    });
    expect(answer.infilled).toBe(true);
    expect(answer.model).toBe('starter');
    const around = { lineBefore: '  return ', lineAfter: '', linesBelow: ['}', ''] };
    expect(ghost).toBe(trimCompletion(answer.text, around, true));
  } finally {
    await client.close();
  }
  await workbench().page.keyboard.press('Tab');
  await workbench().page.keyboard.press('Control+S');
  await until('the file is saved', async () => (await fileText()) !== before + after);
  expect(await fileText()).toBe(`${before}return ${ghost}${after}`);
  await workbench().picture('completion-2-accepted');
});

test('the status bar item says which model runs and what it takes', async () => {
  await until('it is calm', async () => (await workbench().status.innerText()).trim() === 'OneBit');
  await workbench().status.hover();
  const tooltip = workbench().page.locator('.workbench-hover', { hasText: 'Memory:' });
  await tooltip.waitFor();
  await workbench().picture('completion-3-status');
});

test('with completions off, nothing is shown', async () => {
  await workbench().command('OneBit: Toggle Completions');
  await until('it is off', async () => (await workbench().status.innerText()).includes('off'));
  const client = await workbench().client();
  try {
    await client.request('subscribe', { topics: ['model'] });
    let asked = 0;
    client.onNotification(
      'model/changed',
      ({ active, queued }) => (asked = Math.max(asked, active + queued)),
    );
    await workbench().page.locator('.monaco-editor .view-lines').first().click();
    await workbench().page.keyboard.press('Control+End');
    await workbench().page.keyboard.type('const next = ', { delay: 30 });
    await workbench().page.keyboard.press('Control+S');
    await until('the file is saved', async () => (await fileText()).endsWith('const next = '));
    // Well beyond the debounce, and the server has answered after all that it may have been sent.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await client.request('model/status', {});
    expect(asked).toBe(0);
    expect(await workbench().ghostText()).toBe('');
  } finally {
    await client.close();
  }
});
