import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Generations } from './harness/generations.ts';
import { until, useWorkbench } from './harness/workbench.ts';

// What a user sees of the completion pipeline. What the model says is its own matter: the tests compare what is
// shown with what was shown, and count what the server was asked.

const code = (body: string) => `export function run(values: number[]): number {\n${body}`;
const files = {
  'type.ts': code('  for (let i = 0; i < values.len'),
  'words.ts': code('  for (let i = 0; i < '),
  'cycle.ts': code('  const '),
  'off.py': 'import os\n',
  'fast.ts': code(''),
  'shapes.ts':
    'export interface Shape {\n  frobnicate(width: number): number;\n  unfrobnicate(height: number): number;\n}\n',
  'use.ts':
    "import type { Shape } from './shapes';\n\nexport function use(shape: Shape) {\n  shape.frobnicate(1);\n  ",
};

const workbench = useWorkbench({
  settings: () => ({
    'editor.autoClosingBrackets': 'never',
    'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
    'editor.suggestOnTriggerCharacters': false,
    'editor.wordBasedSuggestions': 'off',
    'onebit.completion.prefetch': false,
  }),
  prepare: async ({ workspace }) => {
    for (const [name, text] of Object.entries(files)) await writeFile(join(workspace, name), text);
  },
});

let generations: Generations;
beforeAll(async () => {
  generations = await Generations.watch(workbench());
});
afterAll(() => generations?.client.close());

const calm = () => generations.calm();
const promptTokens = () => generations.promptTokens();
const keyboard = () => workbench().page.keyboard;
const ghost = () => workbench().ghostText();

/** Opens a file, goes to its end and types until there is ghost text of at least so many characters. */
async function ghostIn(name: string, tries: readonly string[], least: number): Promise<string> {
  await workbench().openFile(name);
  await keyboard().press('Control+End');
  for (const text of tries) {
    await keyboard().type(text, { delay: 30 });
    await calm();
    const shown = await ghost();
    if (shown.trim().length >= least) return shown;
  }
  throw new Error(`The model says nothing in ${name}.`);
}

test('what is typed as the ghost text says goes on showing the rest, without asking again', async () => {
  const shown = await ghostIn('type.ts', ['g', 'th', '; i', '++', ') {'], 3);
  const before = await calm();
  const typed = shown.slice(0, 2);
  for (const [index, character] of [...typed].entries()) {
    await keyboard().type(character);
    await until('the rest is shown', async () => (await ghost()) === shown.slice(index + 1));
  }
  await workbench().picture('pipeline-1-typed-through');
  // Taken back, it is there again.
  await keyboard().press('Backspace');
  await until('it is back', async () => (await ghost()) === shown.slice(1));
  expect(await calm()).toBe(before);
  await keyboard().press('Escape');
});

test('a word of it can be accepted, and the rest stays', async () => {
  const shown = await ghostIn('words.ts', ['v', 'alues', '.', 'length', '; '], 4);
  const before = await calm();
  await keyboard().press('Control+ArrowRight');
  await until('a word is taken', async () => {
    const rest = await ghost();
    return rest !== '' && rest.length < shown.length && shown.endsWith(rest);
  });
  await workbench().picture('pipeline-2-accepted-word');
  expect(await calm()).toBe(before);
  await keyboard().press('Escape');
});

test('other texts come where they are asked for, one after the other', async () => {
  const first = await ghostIn('cycle.ts', ['r', 'esult', ' = ', 'values', '.'], 2);
  const seen = new Set([first]);
  for (let turn = 0; turn < 3; turn++) {
    await keyboard().press('Alt+]');
    await calm();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await until('one is shown', async () => (await ghost()) !== '');
    seen.add(await ghost());
  }
  await workbench().picture('pipeline-3-alternatives');
  expect(seen.size).toBeGreaterThan(1);
  await keyboard().press('Escape');
});

test('a file of its own can be left out, and taken in again by a click', async () => {
  await workbench().openFile('fast.ts');
  await workbench().command('OneBit: Toggle Completions for This File');
  await until('it says so', async () => (await workbench().status.innerText()).includes('off here'));
  await workbench().picture('pipeline-4-file-off');
  const before = await calm();
  await keyboard().press('Control+End');
  await keyboard().type('  const total = ', { delay: 30 });
  expect(await calm()).toBe(before);
  await workbench().noGhostText();
  await workbench().openFile('type.ts');
  await until('others are on', async () => (await workbench().status.innerText()).trim() === 'OneBit');
  await workbench().openFile('fast.ts');
  await until('this one is not', async () => (await workbench().status.innerText()).includes('off here'));
  await workbench().status.click();
  await until('it is on', async () => (await workbench().status.innerText()).trim() === 'OneBit');
});

test('a language can be left out', async () => {
  await workbench().openFile('off.py');
  await workbench().command('OneBit: Toggle Completions for This Language');
  await until('it says so', async () => (await workbench().status.innerText()).includes('off here'));
  const before = await calm();
  await keyboard().press('Control+End');
  await keyboard().type('path = ', { delay: 30 });
  expect(await calm()).toBe(before);
  await workbench().picture('pipeline-5-language-off');
  await workbench().command('OneBit: Toggle Completions for This Language');
  await until('it is on', async () => (await workbench().status.innerText()).trim() === 'OneBit');
});

test('the prompt has what another open file says', async () => {
  await workbench().openFile('shapes.ts');
  await workbench().openFile('use.ts');
  const before = { asked: await calm(), tokens: await promptTokens() };
  await keyboard().press('Control+End');
  await keyboard().type('shape.', { delay: 30 });
  const completions = (await calm()) - before.asked;
  const tokens = (await promptTokens()) - before.tokens;
  await workbench().picture('pipeline-6-related');
  await keyboard().press('Escape');
  expect(completions).toBeGreaterThan(0);
  const { ids } = await generations.client.request('tokenize', { text: `${files['use.ts']}shape.` });
  const { ids: others } = await generations.client.request('tokenize', { text: files['shapes.ts'] });
  // On average more than the file itself has, by the better part of the other one.
  expect(tokens / completions).toBeGreaterThan(ids.length + others.length / 2);
});

test('a hundred fast keystrokes: never two completions at once, and no ghost text after they are cancelled', async () => {
  await workbench().openFile('fast.ts');
  await keyboard().press('Control+End');
  let most = 0;
  await generations.client.request('subscribe', { topics: ['model'] });
  generations.client.onNotification('model/changed', ({ active, queued }) => {
    most = Math.max(most, active + queued);
  });
  await keyboard().type(
    '\n  let total = 0;\n  for (const value of values) {\n    total += value * 2 + Math.max(value, 3);\n',
    {
      delay: 110,
    },
  );
  await keyboard().type('    const other = value', { delay: 110 });
  await keyboard().press('Escape');
  await workbench().page.locator('.explorer-folders-view').click();
  await until(
    'nothing runs a second later',
    async () => {
      const { active, queued } = await generations.client.request('model/status', {});
      return active + queued === 0;
    },
    20_000,
  );
  expect(most).toBeLessThanOrEqual(1);
  await workbench().noGhostText();
  await workbench().picture('pipeline-7-fast');
});
