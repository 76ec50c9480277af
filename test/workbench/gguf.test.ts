// From a downloaded GGUF file to ghost text, with nothing but what the window offers.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { trimCompletion } from '../../extension/completion/trim/trim-completion.ts';
import { writeStarterGguf } from '../reference/starter-gguf.ts';
import { root } from './harness/places.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const text = 'const names = [];\n';
const typed = 'for (let i = 0; i < names.length; i';

const workbench = useWorkbench({
  settings: () => ({ 'editor.autoClosingBrackets': 'never', 'onebit.completion.relatedFiles': false }),
  prepare: async ({ workspace }) => {
    await mkdir(join(workspace, 'coder'));
    writeStarterGguf(join(workspace, 'coder', 'coder.gguf'), join(root, 'server', 'starter', 'student'));
    await writeFile(join(workspace, 'loop.js'), text);
  },
});

test('a GGUF file is opened, quantized from its editor, used, and completes', async () => {
  const window = workbench();
  const model = join(window.folders.workspace, 'coder-svid');
  const rows = window.page.locator('.explorer-folders-view .monaco-list-row');
  await rows.filter({ hasText: 'coder' }).first().click();
  await rows.filter({ hasText: 'coder.gguf' }).first().dblclick();
  const quantize = window.webview.getByRole('button', { name: 'Quantize to 1 Bit…' });
  await quantize.waitFor();
  await window.picture('gguf-1-file');
  await quantize.click();
  const done = window.notification('The 1-bit model is in coder-svid');
  await done.waitFor();
  await window.picture('gguf-2-quantized');
  await done.locator('.monaco-button', { hasText: 'Use Model' }).click();

  const client = await window.client();
  try {
    await until('it is loaded', async () => {
      const status = await client.request('model/status', {});
      return status.state === 'ready' && status.model?.path === model;
    });
    await window.openFile('loop.js');
    await window.page.keyboard.press('Control+End');
    await window.page.keyboard.type(typed, { delay: 20 });
    const before = text + typed;
    const said = await client.complete({ prefix: before, maxTokens: 64, singleLine: true });
    const expected = trimCompletion(said.text, { before, after: '' }, { singleLine: true });
    if (expected === undefined) throw new Error(`Nothing to show in ${JSON.stringify(said.text)}.`);
    await until(`the ghost text ${expected}`, async () => (await window.ghostText()) === expected);
    await window.picture('gguf-3-ghost-text');
    expect((await client.request('model/status', {})).model?.path).toBe(model);
    // Made by the very weights that the file was written from: the way there has lost nothing.
    await client.request('model/load', { model: 'starter' });
    const original = await client.complete({ prefix: before, maxTokens: 8, singleLine: true });
    expect(said.text.startsWith(original.text)).toBe(true);
  } finally {
    await client.close();
  }
});
