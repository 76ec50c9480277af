import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { inspectActivations } from '../../../server/inspect/activations.ts';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { activationsCsv } from '../../../server/protocol/matrix-csv.ts';
import { starterStudent, starterTeacher } from '../harness/places.ts';
import { answerAsks } from './answer-asks.ts';
import { violations } from './axe.ts';
import { full } from './panel-fixture.ts';
import { pictures, usePanel } from './use-panel.ts';
import type { ThemeName } from './webview-page.ts';

/** A text that goes through the shipped model and its teacher, with the server's own code behind the page. */

const open = usePanel();
const text = 'const answer = 42;\n';
let snapshot: PanelSnapshot;

beforeAll(async () => {
  snapshot = { ...full, layers: await inspectLayers(starterStudent, { teacher: starterTeacher }) };
});

const show = async (options: Parameters<typeof open>[1] = {}) => {
  const made = await open({ ...full, layers: undefined }, { kept: { tab: 'layers' }, ...options });
  await answerAsks(made.page);
  await made.send({ type: 'snapshot', snapshot });
  return made;
};
const field = (page: Page) => page.getByRole('textbox', { name: 'Text that goes through the model' });
const run = async (page: Page) => {
  await field(page).fill(text);
  await page.getByRole('button', { name: 'Run Text Through' }).click();
  await page.getByText(/tokens went through 42 matrices/).waitFor();
};

describe('a text', () => {
  test('goes through every matrix; its numbers are in the map, in the table, and can be saved', async () => {
    const { page, posted, kept } = await show();
    const found = await inspectActivations(starterStudent, text, { teacher: starterTeacher });
    const first = found.matrices[0];
    await run(page);
    await page.getByText(`${found.tokens} tokens went through`).waitFor();
    const label = page.getByRole('gridcell', { name: 'layers.0.self_attn.q_proj:' });
    await expect
      .poll(() => label.getAttribute('aria-label'))
      .toBe(`layers.0.self_attn.q_proj: Output error ${first?.teacherError?.toPrecision(4)}`);
    const heads = await page.locator('vscode-data-grid-cell[cell-type="columnheader"]').allInnerTexts();
    const row = await page
      .locator('vscode-data-grid-row')
      .nth(1)
      .locator('vscode-data-grid-cell')
      .allInnerTexts();
    for (const [head, value] of [
      ['Output error', first?.teacherError],
      ['Input RMS', first?.inputRms],
      ['Output RMS', first?.outputRms],
      ['Teacher in', first?.teacherInputRms],
      ['Teacher out', first?.teacherOutputRms],
    ] as const) {
      expect(row[heads.indexOf(head)], head).toBe(value?.toPrecision(4));
    }
    await page.getByRole('button', { name: 'CSV…: save the activations' }).click();
    expect((await posted()).at(-1)).toEqual({
      type: 'saveText',
      name: 'student-activations.csv',
      content: activationsCsv(found),
    });
    expect(await kept()).toMatchObject({ activationsText: text });
  });

  test('that is empty goes nowhere; nothing is asked before the button is pressed', async () => {
    const { page, posted } = await show();
    await field(page).fill('');
    await page.getByRole('button', { name: 'Run Text Through' }).click();
    await page.getByText('There is no text.').waitFor();
    const asked = (await posted()).flatMap((one) => (one.type === 'ask' ? [one.method] : []));
    expect(asked).not.toContain('inspect/activations');
  });

  test('that is on its way can be given up', async () => {
    // Nobody answers.
    const { page, posted } = await open(snapshot, { kept: { tab: 'layers' } });
    await page.getByRole('button', { name: 'Run Text Through' }).click();
    await page.getByRole('button', { name: 'Cancel: the text that goes through' }).click();
    await page.getByText('Cancelled.', { exact: true }).waitFor();
    const asked = (await posted()).find((one) => one.type === 'ask' && one.method === 'inspect/activations');
    expect((await posted()).at(-1)).toEqual({
      type: 'cancelAsk',
      ask: asked?.type === 'ask' ? asked.ask : undefined,
    });
  });
});

describe.each(['dark', 'light', 'hc-black', 'hc-light'] satisfies ThemeName[])('in the theme %s', (theme) => {
  test.each([400, 1280])('it has room at %d px', async (width) => {
    const { page } = await show({ theme, width });
    await run(page);
    await page.screenshot({ path: join(pictures, `activations-${theme}-${width}.png`), fullPage: true });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    expect(await violations(page)).toEqual([]);
  });
});
