import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Generations } from './harness/generations.ts';
import { serverProcesses } from './harness/processes.ts';
import { until, useWorkbench } from './harness/workbench.ts';

// What keys do to ghost text: a line of it, back to the first alternative, away, and where none comes by itself; and what
// a reloaded window has. What the model says is its own matter.

const opening = 'export function sum(values: number[]): number {\n  let total = 0;\n';
const files = ['line.ts', 'cycle.ts', 'escape.ts', 'asked.ts', 'reloaded.ts'];

const workbench = useWorkbench({
  settings: () => ({
    'editor.autoClosingBrackets': 'never',
    'editor.autoIndent': 'none',
    'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
    'editor.suggestOnTriggerCharacters': false,
    'editor.wordBasedSuggestions': 'off',
    'onebit.completion.prefetch': false,
  }),
  prepare: async ({ workspace, user }) => {
    for (const name of files) await writeFile(join(workspace, name), opening);
    // VS Code has no key for it, and the palette takes the ghost text away.
    const keys = [{ key: 'ctrl+alt+l', command: 'editor.action.inlineSuggest.acceptNextLine' }];
    await writeFile(join(user, 'User', 'keybindings.json'), JSON.stringify(keys));
  },
});

let generations: Generations;
beforeAll(async () => {
  generations = await Generations.watch(workbench());
});
afterAll(() => generations?.client.close());

const keyboard = () => workbench().page.keyboard;
const ghost = () => workbench().ghostText();
/** Goes to a file's end and types until there is ghost text that is wanted. @returns it, and what was typed */
async function typeFor(
  name: string,
  tries: readonly string[],
  isWanted: () => Promise<boolean> | boolean = () => true,
): Promise<{ shown: string; typed: string }> {
  await workbench().openFile(name);
  await keyboard().press('Control+End');
  let typed = '';
  for (const text of tries) {
    typed += text;
    await keyboard().type(text, { delay: 30 });
    await generations.calm();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const shown = await ghost();
    if (shown.trim().length >= 2 && (await isWanted())) return { shown, typed };
  }
  throw new Error(`The model says nothing of use in ${name}.`);
}

/** Whether ghost text goes on below the cursor's line. */
const hasMoreLines = async (): Promise<boolean> =>
  (await workbench().page.locator('.monaco-editor .view-zones .suggest-preview-text').count()) > 0;

const lineTries = [
  '  for (const value of values) {\n',
  '    if (value > 0) {\n',
  '      total += value;\n',
  '      total += va',
];

test('the next line of ghost text can be accepted, and what is below it stays', async () => {
  const { shown, typed } = await typeFor('line.ts', lineTries, hasMoreLines);
  await workbench().picture('keys-1-several-lines');
  const asked = await generations.calm();
  await keyboard().press('Control+Alt+L');
  await until('a line is taken', async () => {
    const rest = await ghost();
    return rest !== '' && rest.length < shown.length;
  });
  await workbench().picture('keys-1-accepted-line');
  expect(await generations.calm()).toBe(asked);
  await keyboard().press('Control+S');
  const before = opening + typed;
  let after = '';
  await until('the file is saved', async () => {
    after = await readFile(join(workbench().folders.workspace, 'line.ts'), 'utf8');
    return after.startsWith(before) && after.length > before.length;
  });
  const [line = '', ...below] = after.slice(before.length).split('\n');
  expect(line.trim()).not.toBe('');
  expect(shown).toContain(line.trim());
  expect(below.join('').trim()).toBe('');
  await keyboard().press('Escape');
});

test('Escape takes ghost text away, until something else is typed', async () => {
  await typeFor('escape.ts', ['  for (let i = 0; i < ', 'v', 'alues', '.', 'len']);
  const asked = await generations.calm();
  await keyboard().press('Escape');
  await workbench().noGhostText();
  expect(await generations.calm()).toBe(asked);
  await keyboard().type('x');
  await generations.another(asked);
});

test('the alternative before is shown again', async () => {
  const { shown: first } = await typeFor('cycle.ts', ['  const ', 'r', 'esult', ' = ', 'values', '.']);
  await keyboard().press('Alt+]');
  await until('another is shown', async () => {
    const shown = await ghost();
    return shown !== '' && shown !== first;
  });
  await generations.calm();
  await keyboard().press('Alt+[');
  await until('the first is shown', async () => (await ghost()) === first);
  await keyboard().press('Escape');
});

test('behind a finished statement the model is only asked by command', async () => {
  await workbench().openFile('asked.ts');
  await keyboard().press('Control+End');
  await keyboard().type('  return total', { delay: 30 });
  const before = await generations.calm();
  await keyboard().type(';');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(await generations.calm()).toBe(before);
  await workbench().noGhostText();
  await workbench().command('Trigger Inline Suggestion');
  await generations.another(before);
});

test('a reloaded window has the same server, and completes', async () => {
  const servers = () => serverProcesses(workbench().folders.state);
  const [server] = await servers();
  await workbench().reload();
  await typeFor('reloaded.ts', ['  for (let i = 0; i < ', 'v', 'alues', '.', 'len']);
  expect((await servers()).map(({ pid }) => pid)).toEqual([server?.pid]);
  await workbench().picture('keys-3-reloaded');
});
