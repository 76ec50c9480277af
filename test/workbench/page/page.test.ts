import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { tabIds, type TabId } from '../../../webview/page/tabs.ts';
import { violations } from './axe.ts';
import { layers } from './layers-fixture.ts';
import { llama, starter, teacher } from './models-fixture.ts';
import { distilling, full, memory } from './panel-fixture.ts';
import { cells, controls, pictures, usePanel } from './use-panel.ts';
import type { ThemeName } from './webview-page.ts';

/** The page as a whole: its tabs, its themes and widths, what it says when there is nothing to show. */

const themes: ThemeName[] = ['dark', 'light', 'hc-black', 'hc-light'];
const empty: PanelSnapshot = {
  connection: 'connected',
  models: [starter, llama, teacher],
  jobs: [],
  metrics: {},
};
const idle = { process: memory.process, model: { state: 'none' as const, active: 0, queued: 0 } };

const panel = usePanel();

describe.each(themes)('in the theme %s', (theme) => {
  const cases = tabIds.flatMap((tab) => [400, 1280].map((width) => [tab, width] as const));
  test.each(cases)('%s has room at %d px, and every control has a name', async (tab, width) => {
    const { page } = await panel(full, { theme, width, kept: { tab } });
    if (tab === 'layers') await page.locator('vscode-data-grid-row').nth(42).waitFor({ state: 'attached' });
    await page.screenshot({ path: join(pictures, `${tab}-${theme}-${width}.png`), fullPage: true });
    const { content, window, outside } = await page.evaluate(() => ({
      content: document.documentElement.scrollWidth,
      window: document.documentElement.clientWidth,
      // Nothing of the page but the table and the map, which scroll by themselves, reaches over the right edge.
      outside: [...document.querySelectorAll('.page *')]
        .filter((one) => one.closest('.layers-scroll, .map-scroll') === null)
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
        .map((one) => one.className || one.tagName),
    }));
    expect(content).toBeLessThanOrEqual(window);
    expect(outside).toEqual([]);
    const found = await controls(page);
    expect(found.length).toBeGreaterThan(5);
    expect(found.filter(({ name }) => name.trim() === '')).toEqual([]);
    expect(await violations(page)).toEqual([]);
  });
});

describe('the tabs', () => {
  test('are walked with the keyboard, show one view each, and the chosen one is kept', async () => {
    const { page, kept } = await panel(full);
    const shown = () =>
      page.locator('[role="tabpanel"]:visible').evaluateAll((all) => all.map(({ id }) => id));
    expect(await shown()).toEqual(['panel-footprint']);
    await page.getByRole('tab', { name: 'Footprint' }).focus();
    for (const [key, tab] of [
      ['ArrowRight', 'runs'],
      ['ArrowRight', 'layers'],
      ['ArrowRight', 'footprint'],
      ['End', 'layers'],
      ['ArrowLeft', 'runs'],
    ]) {
      await page.keyboard.press(key ?? '');
      await expect.poll(shown).toEqual([`panel-${tab}`]);
      expect(await page.evaluate(() => document.activeElement?.id)).toBe(`tab-${tab}`);
    }
    expect(await page.locator('[role="tab"][tabindex="0"]').count()).toBe(1);
    expect(await kept()).toMatchObject({ tab: 'runs' });
    const again = await panel(full, { kept: await kept() });
    expect(await again.page.locator('#panel-runs').isVisible()).toBe(true);
  });

  test('nothing of a hidden tab is drawn', async () => {
    const { page, send, posted } = await panel(full, {
      kept: { tab: 'footprint', inspect: { model: llama.id } },
    });
    expect(await page.locator('.job, canvas, vscode-data-grid-row').count()).toBe(0);
    await send({ type: 'snapshot', snapshot: { ...full, layers: undefined } });
    expect(await posted()).toEqual([{ type: 'ready' }]);
  });
});

describe('where there is nothing to show', () => {
  const cases: [string, PanelSnapshot, string, [string, unknown][], TabId?][] = [
    ['starting', { ...empty, connection: 'starting' }, 'Starting the server…', []],
    [
      'stopped',
      { ...empty, connection: 'stopped' },
      'The server is not running',
      [['Start Server', { type: 'startServer' }]],
    ],
    [
      'failed',
      { ...empty, connection: 'failed', connectionError: 'EACCES: /home/ada/.local/state/onebit' },
      'EACCES: /home/ada/.local/state/onebit',
      [
        ['Try Again', { type: 'startServer' }],
        ['Show Log', { type: 'showLog' }],
      ],
    ],
    [
      'no-model',
      { ...empty, memory: idle },
      'No model is loaded',
      [
        ['Load Starter Model', { type: 'loadModel', model: 'starter' }],
        ['Choose Model…', { type: 'chooseModel' }],
      ],
    ],
    [
      'no-jobs',
      empty,
      'No jobs yet',
      [
        ['Quantize a Checkpoint…', { type: 'quantize' }],
        ['Distill a Student…', { type: 'distill' }],
      ],
      'runs',
    ],
    [
      'loading',
      {
        ...empty,
        memory: {
          ...memory,
          model: { state: 'loading', model: llama, progress: 0.42, active: 0, queued: 0 },
        },
      },
      'Loading llama-7b-onebit… 42%',
      [],
    ],
    [
      'inspecting',
      {
        ...empty,
        inspecting: {
          id: 'first',
          model: llama.id,
          progress: { phase: 'inspect', done: 12, total: 224, unit: 'tensors' },
        },
      },
      'Reading the layers of llama-7b-onebit…',
      [['Cancel', { type: 'cancelInspect' }]],
      'layers',
    ],
    [
      'unloaded',
      {
        ...empty,
        memory: { ...memory, model: { state: 'unloaded', model: llama, active: 0, queued: 0 } },
      },
      'llama-7b-onebit is not in memory',
      [['Load Now', { type: 'loadModel', model: llama.id }]],
    ],
    [
      'layers-failed',
      { ...empty, memory, layersError: 'model.safetensors is truncated: download it again.' },
      'model.safetensors is truncated: download it again.',
      [['Try Again', { type: 'inspect', model: llama.id }]],
      'layers',
    ],
    [
      'load-failed',
      {
        ...empty,
        memory: {
          ...memory,
          model: { state: 'failed', model: llama, error: 'No tokenizer.json.', active: 0, queued: 0 },
        },
      },
      'No tokenizer.json.',
      [['Try Again', { type: 'loadModel', model: llama.id }]],
    ],
  ];

  test.each(cases)(
    '%s: it says why and has the button that helps',
    async (name, snapshot, text, buttons, tab) => {
      const { page, posted } = await panel(snapshot, { width: 800, height: 500, kept: { tab } });
      await page.getByText(text).first().waitFor();
      await page.screenshot({ path: join(pictures, `state-${name}.png`), fullPage: true });
      expect(await violations(page)).toEqual([]);
      for (const [label] of buttons) await page.getByRole('button', { name: label, exact: true }).click();
      expect((await posted()).slice(1)).toEqual(buttons.map(([, message]) => message));
      if (snapshot.connection !== 'connected')
        expect(await page.locator('.page-body').isVisible()).toBe(false);
    },
  );

  test('a connection that is lost and found: the reader is told', async () => {
    const { page, send } = await panel(full);
    await send({ type: 'connection', connection: 'stopped' });
    expect(await page.getByRole('status').textContent()).toBe('The server has stopped.');
    await page.getByRole('button', { name: 'Start Server' }).waitFor();
    await send({ type: 'snapshot', snapshot: full });
    expect(await page.getByRole('status').textContent()).toBe('The server is running.');
    expect(await cells(page, 'total')).toEqual(['Model', '1.34 GB', '13.5 GB', '10.1×']);
  });
});

test('names and messages from outside are text, never HTML', async () => {
  const evil = '<img src=x onerror="document.title=1"><b>bold</b>';
  const { page } = await panel({
    ...full,
    memory: { ...memory, model: { ...memory.model, model: { ...llama, name: evil } } },
    models: [{ ...llama, name: evil }],
    jobs: [{ ...distilling, state: 'failed', error: { code: 'internal', message: evil } }],
    layers: {
      ...layers(1, false),
      layers: layers(1, false).layers.map((layer) => ({ ...layer, name: evil })),
    },
  });
  expect(await page.locator('.page-model').innerText()).toContain(evil);
  for (const name of ['Runs', 'Layers']) await page.getByRole('tab', { name }).click();
  await page.locator('vscode-data-grid-row').nth(7).waitFor({ state: 'attached' });
  expect(await page.locator('.job-error').textContent()).toBe(evil);
  expect(await page.locator('main img, main b').count()).toBe(0);
});

test('the place on each tab comes back', async () => {
  const first = await panel(full, { height: 500, kept: { tab: 'runs' } });
  await first.page.evaluate(() => window.scrollTo(0, 200));
  await expect.poll(async () => (await first.kept()) as object).toMatchObject({ scroll: { runs: 200 } });
  const second = await panel(full, { height: 500, kept: await first.kept() });
  await expect.poll(() => second.page.evaluate(() => window.scrollY)).toBe(200);
  await second.page.getByRole('tab', { name: 'Footprint' }).click();
  await expect.poll(() => second.page.evaluate(() => window.scrollY)).toBe(0);
});
