import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { trimCompletion } from '../../extension/completion/trim/trim-completion.ts';
import { serverProcesses } from './harness/processes.ts';
import { until, useWorkbench } from './harness/workbench.ts';

/** Beginnings of code; what the shipped model says to them depends on how it was trained. */
const beginnings = [
  [
    'sum.ts',
    'export function sum(values: number[]): number {\n  let total = 0;\n  for (const value of values) {\n    total += value;\n  }\n',
    '  return ',
  ],
  ['loop.js', 'const names = [];\n', 'for (let i = 0; i < names.length; i'],
  ['read.js', "const fs = require('fs');\n", 'const path = require('],
  ['type.ts', 'function check(value: unknown) {\n', '  if (typeof value === '],
] as const;
type Beginning = (typeof beginnings)[number];

const workbench = useWorkbench({
  // A proxy that does not answer must not stand between the extension and its server.
  settings: () => ({
    'http.proxy': 'http://127.0.0.1:9',
    'editor.autoClosingBrackets': 'never',
    // The model is asked here without other files.
    'onebit.completion.relatedFiles': false,
  }),
  prepare: async ({ workspace }) => {
    for (const [name, text] of beginnings) await writeFile(join(workspace, name), text);
  },
});

const fileText = (name: string) => readFile(join(workbench().folders.workspace, name), 'utf8');

/** What the extension should show at the end of the text, according to the server itself. */
async function expected([, text, typed]: Beginning): Promise<string | undefined> {
  const client = await workbench().client();
  try {
    const before = text + typed;
    const answer = await client.complete({ prefix: before, maxTokens: 64, singleLine: true });
    expect(answer.model).toBe('starter');
    return trimCompletion(answer.text, { before, after: '' }, { singleLine: true });
  } finally {
    await client.close();
  }
}

/** Opens the file of a beginning and types its last line at the end. */
async function type([name, , typed]: Beginning): Promise<void> {
  await workbench().openFile(name);
  await workbench().page.keyboard.press('Control+End');
  await workbench().page.keyboard.type(typed, { delay: 20 });
}

let shown: Beginning | undefined;

test('typing starts the server', async () => {
  expect(await serverProcesses(workbench().folders.state)).toEqual([]);
  await type(beginnings[0]);
  await until('a server runs', async () => (await serverProcesses(workbench().folders.state)).length === 1);
  await until('it is ready', async () => (await workbench().status.innerText()).trim() === 'OneBit');
});

test('the ghost text is what the shipped model says', async () => {
  for (const beginning of beginnings) {
    const text = await expected(beginning);
    if (text === undefined) continue;
    if (beginning !== beginnings[0]) await type(beginning);
    await until(`the ghost text ${text}`, async () => (await workbench().ghostText()) === text);
    shown = beginning;
    break;
  }
  expect(shown, 'the model says something to one of the beginnings').toBeDefined();
  await workbench().picture('completion-1-ghost-text');
});

test('Tab inserts it', async () => {
  if (shown === undefined) throw new Error('Nothing is shown.');
  const [name, text, typed] = shown;
  const ghost = await workbench().ghostText();
  await workbench().page.keyboard.press('Tab');
  await workbench().page.keyboard.press('Control+S');
  await until('the file is saved', async () => (await fileText(name)) === text + typed + ghost);
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
    await until('the file is saved', async () =>
      (await fileText(shown?.[0] ?? '')).endsWith('const next = '),
    );
    // Well beyond the debounce, and the server has answered after all that it may have been sent.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await client.request('model/status', {});
    expect(asked).toBe(0);
    await workbench().noGhostText();
  } finally {
    await client.close();
  }
});
