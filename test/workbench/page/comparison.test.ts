import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { answerAsks } from './answer-asks.ts';
import { violations } from './axe.ts';
import { full } from './panel-fixture.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';
import { pictures, usePanel } from './use-panel.ts';
import type { ThemeName } from './webview-page.ts';

/** The layers over a training run, and beside another checkpoint, with the server's own code behind the page. */

const open = usePanel();
const name = 'model.layers.1.mlp.down_proj';
/** 256 × 608 signs. */
const bytes = (256 * 608) / 8;
let run: RunFixture;
let snapshot: PanelSnapshot;

beforeAll(async () => {
  // The nearer to the end, the fewer signs differ from the model.
  run = runFixture(name, { 0: bytes / 2, 100: bytes / 4, 200: bytes / 8 });
  snapshot = { ...full, layers: await inspectLayers(run.model) };
});
afterAll(() => run.remove());

const show = async (options: Parameters<typeof open>[1] = {}) => {
  const made = await open({ ...full, layers: undefined }, { kept: { tab: 'layers' }, ...options });
  await answerAsks(made.page);
  await made.send({ type: 'snapshot', snapshot });
  return made;
};

const compared = (other: string, more: object = {}) => ({
  tab: 'layers',
  compare: { model: run.model, other, ...more },
});
const slider = (page: Page) => page.getByRole('slider', { name: 'Checkpoint of the training run' });
const stop = (page: Page) => slider(page).getAttribute('aria-valuetext');
const maps = (page: Page) => page.getByRole('grid', { name: /^Map of the matrices/ });
const label = (page: Page, map = 0) =>
  maps(page)
    .nth(map)
    .getByRole('gridcell', { name: /layers\.1\.mlp\.down_proj:/ })
    .getAttribute('aria-label');

/** The changing matrix's cell under a head of the table. */
async function inTable(page: Page, head: string): Promise<string | undefined> {
  const rows = page.locator('.layers-scroll vscode-data-grid-row');
  const heads = await rows.first().locator('vscode-data-grid-cell').allTextContents();
  const row = rows.filter({ hasText: 'layers.1.mlp.down_proj' }).locator('vscode-data-grid-cell');
  return (await row.allTextContents())[heads.indexOf(head)];
}

describe('a model of a training run', () => {
  test('has a slider over the checkpoints, from the start to the model itself', async () => {
    const { page, kept } = await show();
    await expect.poll(() => stop(page)).toBe('The model as it is');
    await page.getByRole('combobox', { name: 'Checkpoint that it is compared with' }).click();
    await page.getByRole('option', { name: 'Compared with step 0' }).click();
    await expect.poll(() => label(page)).toContain('Sign flips 50.00%');
    await slider(page).focus();
    for (const [key, text, flips] of [
      ['ArrowLeft', 'Step 200 (3 of 3)', '37.50%'],
      ['ArrowLeft', 'Step 100 (2 of 3)', '25.00%'],
      ['End', 'The model as it is', '50.00%'],
    ] as const) {
      await page.keyboard.press(key);
      await expect.poll(() => stop(page)).toBe(text);
      await expect.poll(() => label(page)).toContain(`Sign flips ${flips}`);
      await expect.poll(() => inTable(page, 'Sign flips')).toBe(flips);
    }
    // Compared with itself there is nothing to compare.
    await page.keyboard.press('Home');
    await expect.poll(() => stop(page)).toBe('Step 0 (1 of 3)');
    await expect.poll(() => label(page)).not.toContain('Sign flips');
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => label(page)).toContain('Sign flips 25.00%');
    const again = await show({ kept: await kept() });
    await expect.poll(() => stop(again.page)).toBe('Step 100 (2 of 3)');
    await expect.poll(() => label(again.page)).toContain('Sign flips 25.00%');
  });

  test('stands beside another checkpoint, on the same scale, or as differences', async () => {
    const { page } = await show({ kept: { ...compared(run.signs(0)), mapMetric: 'positiveShare' } });
    await expect.poll(() => maps(page).count()).toBe(2);
    const [now, then] = [await label(page, 0), await label(page, 1)];
    expect(now).not.toBe(then);
    expect(await page.locator('.map-title').allInnerTexts()).toEqual(['student', 'step-0']);
    const share = (text: string | null) => Number(/([\d.]+)%/.exec(text ?? '')?.[1]);
    await page.getByRole('combobox', { name: 'Values or changes' }).click();
    await page.getByRole('option', { name: 'Differences' }).click();
    await expect.poll(() => maps(page).count()).toBe(1);
    const change = share(now) - share(then);
    const said = (await label(page)) ?? '';
    expect(said).toContain(`Δ +1 signs ${change < 0 ? '−' : '+'}`);
    expect(Math.abs(share(said) - Math.abs(change))).toBeLessThan(0.011);
    expect(await page.getByRole('columnheader', { name: 'Δ +1 signs' }).count()).toBe(1);
  });

  test('marks the largest changes in the table', async () => {
    const { page } = await show({ kept: compared(run.signs(0)) });
    await expect.poll(() => page.locator('.layers-scroll .changed').count()).toBeGreaterThan(0);
    const row = page.locator('.layers-scroll vscode-data-grid-row', { hasText: 'layers.1.mlp.down_proj' });
    expect(await row.locator('.changed').first().getAttribute('title')).toMatch(/^Change: [+−]/);
    // Only one matrix has changed.
    expect(await page.locator('.layers-scroll vscode-data-grid-row:has(.changed)').count()).toBe(1);
  });

  test('shows where the signs of a matrix differ', async () => {
    const { page } = await show({ kept: { ...compared(run.signs(0)), matrix: name } });
    await page.getByRole('checkbox', { name: 'Where signs differ' }).click();
    await expect.poll(() => page.locator('#signs-text').innerText()).toContain('red where they differ');
    const canvas = page.locator('.signs-canvas');
    await canvas.focus();
    const readout = page.locator('.signs-readout');
    // The upper half of the rows has been turned.
    await page.keyboard.press('ArrowUp');
    for (let i = 0; i < 7; i++) await page.keyboard.press('+');
    for (const [key, word] of [
      ['ArrowUp', 'differs'],
      ['ArrowDown', 'same'],
    ] as const) {
      for (let i = 0; i < 12; i++) await page.keyboard.press(key);
      await expect.poll(() => readout.innerText()).toContain(` · ${word} · `);
    }
    const chart = page.getByRole('slider', { name: /^Share of \+1 by row/ });
    await chart.focus();
    await page.keyboard.press('Home');
    await expect.poll(() => chart.getAttribute('aria-valuetext')).toMatch(/^row 0: [\d.]+%, before [\d.]+%$/);
  });

  test('is compared with a folder that is chosen in the window', async () => {
    const { page, send, posted } = await show();
    await page.getByRole('combobox', { name: 'Checkpoint that it is compared with' }).click();
    await page.getByRole('option', { name: 'Another checkpoint…' }).click();
    await expect.poll(posted).toContainEqual({ type: 'chooseOther', model: run.model });
    await send({ type: 'otherChosen', model: run.model, path: run.signs(200) });
    await expect.poll(() => label(page)).toContain('Sign flips 12.50%');
  });

  test('says why a checkpoint cannot be compared, and keeps what it shows', async () => {
    const { page } = await show({ kept: compared('/nowhere/at/all') });
    await page
      .getByText(/nowhere/)
      .first()
      .waitFor();
    expect(await label(page)).toContain('+1 signs');
  });
});

describe.each(['dark', 'light', 'hc-black', 'hc-light'] satisfies ThemeName[])('in the theme %s', (theme) => {
  test.each([400, 1280])('two checkpoints have room at %d px', async (width) => {
    const kept = { ...compared(run.signs(0), { at: run.signs(100) }), mapMetric: 'positiveShare' };
    const { page } = await show({ theme, width, kept });
    await expect.poll(() => maps(page).count()).toBe(2);
    await page.screenshot({ path: join(pictures, `compare-${theme}-${width}.png`), fullPage: true });
    const { content, window } = await page.evaluate(() => ({
      content: document.documentElement.scrollWidth,
      window: document.documentElement.clientWidth,
    }));
    expect(content).toBeLessThanOrEqual(window);
    expect(await violations(page)).toEqual([]);
  });
});
