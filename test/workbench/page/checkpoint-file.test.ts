import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type {
  CheckpointFileSummary,
  TensorRow,
  TensorStatistics,
} from '../../../server/protocol/checkpoint-file.ts';
import type { FromFilePage, ToFilePage } from '../../../server/protocol/checkpoint-file-page.ts';
import { chromiumPath } from '../harness/places.ts';
import { violations } from './axe.ts';
import { controls, pictures } from './use-panel.ts';
import { openWebview, serveWebview, type ThemeName, type WebviewPage } from './webview-page.ts';

/** The editor of .safetensors and .gguf files, fed with messages as the extension posts them. */

let browser: Browser;
let site: Awaited<ReturnType<typeof serveWebview>>;
let open: WebviewPage<ToFilePage, FromFilePage>[] = [];

beforeAll(async () => {
  mkdirSync(pictures, { recursive: true });
  site = await serveWebview('checkpoint-file');
  browser = await chromium.launch({
    executablePath: chromiumPath(),
    args: ['--no-sandbox', '--disable-gpu'],
  });
});
afterAll(async () => {
  await browser.close();
  await site.close();
});
afterEach(async () => {
  const seen = open;
  open = [];
  for (const { page } of seen) await page.context().close();
  expect(seen.flatMap(({ complaints }) => complaints)).toEqual([]);
});

const summary: CheckpointFileSummary = {
  path: '/home/ada/models/llama-7b/model-00001-of-00002.safetensors',
  format: 'safetensors',
  bytes: 9_976_578_928,
  tensors: 241,
  elements: 4_988_268_544,
  types: [
    { type: 'F16', tensors: 224, bytes: 9_976_537_088 },
    { type: 'F32', tensors: 17, bytes: 32_768 },
  ],
  metadata: [
    { key: 'format', value: 'pt' },
    { key: 'tokenizer.ggml.tokens', value: '32000 values: <unk>, <s>, </s>, …' },
  ],
  metadataCount: 2,
  kind: 'full',
};

const row = (index: number): TensorRow => ({
  name: `model.layers.${index}.self_attn.q_proj.weight`,
  type: 'F16',
  shape: [4096, 11008],
  bytes: 90_177_536,
  offset: 100 + index,
});

const statistics = (name: string): TensorStatistics => ({
  name,
  count: 45_088_768,
  finite: 45_088_766,
  nan: 2,
  infinite: 0,
  zeros: 1200,
  negative: 22_540_000,
  min: -1.34,
  max: 1.21,
  mean: -1.2e-5,
  std: 0.0231,
  rms: 0.0231,
  magnitudes: Array.from({ length: 24 }, (_, i) => ({
    power: i - 23,
    negative: Math.round(4e6 * Math.exp(-((i - 17) ** 2) / 8)),
    positive: Math.round(3.9e6 * Math.exp(-((i - 17) ** 2) / 8)),
  })),
});

interface Options {
  theme?: ThemeName;
  width?: number;
  total?: number;
  kept?: unknown;
}

/** Opens the page, and answers what it asks of the list as the server would. */
async function editor({ theme = 'dark', width = 1000, total = 241, kept }: Options = {}) {
  const made = await openWebview<ToFilePage, FromFilePage>(browser, `${site.url}`, {
    theme,
    width,
    height: 800,
    kept,
  });
  open.push(made);
  let answered = 0;
  /** Until nothing more is asked for. */
  const answer = async () => {
    for (;;) {
      const asked = (await made.posted()).slice(answered);
      answered += asked.length;
      const pages = asked.filter((message) => message.type === 'tensors');
      if (pages.length === 0) return;
      await made.send(
        ...pages.map(({ query, from, count }): ToFilePage => {
          const found = query.search === 'nothing' ? 0 : total;
          const rows = Array.from({ length: Math.max(0, Math.min(count, found - from)) }, (_, i) =>
            row(from + i),
          );
          return { type: 'tensors', query, tensors: { total: found, from, rows } };
        }),
      );
    }
  };
  const grid = made.page.getByRole('grid', { name: 'Tensors' });
  return { ...made, grid, answer };
}

async function filled(options?: Options) {
  const made = await editor(options);
  await made.send({ type: 'connection', connection: 'connected' }, { type: 'summary', summary });
  await made.answer();
  return made;
}

describe.each(['dark', 'light', 'hc-black', 'hc-light'] as ThemeName[])('in the theme %s', (theme) => {
  test.each([400, 1280])('a tensor with its values has room at %d px', async (width) => {
    const { page, send, grid } = await filled({ theme, width });
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await send({ type: 'statistics', statistics: statistics(row(1).name) });
    await page.getByRole('img', { name: /^Values by size: from 2\^-23 to 2\^1; most/ }).waitFor();
    await page.screenshot({ path: join(pictures, `checkpoint-file-${theme}-${width}.png`), fullPage: true });
    const [content, window] = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return [scrollWidth, clientWidth] as const;
    });
    expect(content).toBeLessThanOrEqual(window);
    expect(await violations(page)).toEqual([]);
    const found = await controls(page);
    expect(found.length).toBeGreaterThan(5);
    expect(found.filter(({ name }) => name.trim() === '')).toEqual([]);
  });
});

describe('the list', () => {
  test('of two million tensors has only what is seen in the document, and its end is reached', async () => {
    const { page, grid, answer, posted } = await filled({ total: 2_000_000 });
    expect(await page.locator('.tensor-body .tensor-row').count()).toBeLessThan(60);
    await grid.focus();
    await page.keyboard.press('End');
    await expect
      .poll(async () => (await posted()).filter(({ type }) => type === 'tensors').length)
      .toBeGreaterThan(1);
    await answer();
    const last = page.getByRole('row', { selected: true });
    await expect.poll(() => last.getAttribute('aria-rowindex')).toBe('2000001');
    expect(await last.innerText()).toContain('1999999');
    const [box, whole] = [await last.boundingBox(), await grid.boundingBox()];
    expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThanOrEqual(
      (whole?.y ?? 0) + (whole?.height ?? 0) + 1,
    );
    expect(await page.locator('.tensor-body .tensor-row').count()).toBeLessThan(60);
  });

  test('is walked with the keyboard, sorted by its heads, and searched', async () => {
    const { page, grid, answer, posted, kept } = await filled();
    const selected = () => page.getByRole('row', { selected: true }).getAttribute('aria-rowindex');
    await grid.focus();
    for (const [key, index] of [
      ['ArrowDown', '3'],
      ['ArrowDown', '4'],
      ['ArrowUp', '3'],
      ['End', '242'],
      ['Home', '2'],
    ] as const) {
      await page.keyboard.press(key);
      await answer();
      await expect.poll(selected, { message: key }).toBe(index);
    }
    const head = page.getByRole('columnheader', { name: 'Size' });
    const query = async () => (await posted()).findLast((message) => message.type === 'tensors')?.query;
    const order = ['ascending', 'descending', null];
    for (const sorted of order) {
      await head.getByRole('button').click();
      await answer();
      expect(await head.getAttribute('aria-sort')).toBe(sorted);
    }
    expect(await query()).toEqual({ search: '', sort: 'position', descending: false });
    await page.getByRole('searchbox').fill('nothing');
    await expect.poll(query).toMatchObject({ search: 'nothing' });
    await answer();
    await page.getByText('No tensor has “nothing”').waitFor();
    expect(await page.getByRole('status').innerText()).toBe('0 found');
    expect(await violations(page)).toEqual([]);
    const again = await filled({ kept: await kept() });
    expect(await again.page.getByRole('searchbox').inputValue()).toBe('nothing');
  });

  test('shows names from a hostile file as text', async () => {
    const { page, send } = await editor();
    const evil = '<img src=x onerror="document.title=1"><b>bold</b>';
    await send(
      { type: 'connection', connection: 'connected' },
      { type: 'summary', summary: { ...summary, path: `/${evil}`, metadata: [{ key: evil, value: evil }] } },
      {
        type: 'tensors',
        query: { search: '', sort: 'position', descending: false },
        tensors: { total: 1, from: 0, rows: [{ ...row(0), name: evil.repeat(1000), type: evil }] },
      },
    );
    await page.locator('.tensor-body .tensor-row').first().click();
    await expect.poll(() => page.locator('.tensor-full-name').innerText()).toContain('<img');
    expect(await page.locator('main img, main b').count()).toBe(0);
  });
});

describe('the values', () => {
  test('are computed when asked for, with progress, and given up', async () => {
    const { page, send, posted, grid } = await filled();
    await page.locator('.tensor-body .tensor-row').nth(2).click();
    const { name } = row(2);
    await page.getByText('Look at the values').waitFor();
    expect((await posted()).some(({ type }) => type === 'statistics')).toBe(false);
    await page.getByRole('button', { name: 'Compute Statistics' }).click();
    await send({
      type: 'progress',
      name,
      progress: { phase: 'statistics', done: 5e7, total: 1e8, unit: 'bytes' },
    });
    await page.getByText('50.0 MB of 100 MB').waitFor();
    expect(await page.getByRole('progressbar').getAttribute('value')).toBe('0.5');
    await page.screenshot({ path: join(pictures, 'checkpoint-file-reading.png') });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await send({ type: 'statisticsFailed', name, message: 'Cancelled.' });
    await page.getByRole('button', { name: 'Try Again' }).click();
    // Another tensor is chosen before the answer comes: it is not shown for that one.
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    await send({ type: 'statistics', statistics: statistics(name) });
    await page.getByText('Look at the values').waitFor();
    expect((await posted()).slice(-4).map(({ type }) => type)).toEqual([
      'statistics',
      'cancelStatistics',
      'statistics',
      'cancelStatistics',
    ]);
  });
});

describe('where there is no file to show', () => {
  const cases: [string, ToFilePage[], string, string[]][] = [
    ['starting', [{ type: 'connection', connection: 'starting' }], 'Starting the server', []],
    [
      'stopped',
      [{ type: 'connection', connection: 'stopped' }],
      'The server is not running',
      ['Start Server'],
    ],
    [
      'failed',
      [{ type: 'connection', connection: 'failed', error: 'EACCES: /home/ada/.local' }],
      'EACCES: /home/ada/.local',
      ['Try Again', 'Show Log'],
    ],
    ['reading', [{ type: 'connection', connection: 'connected' }], 'Reading the header', []],
    [
      'damaged',
      [
        { type: 'connection', connection: 'connected' },
        { type: 'failed', message: '/m.gguf: it claims 1e18 tensors.' },
      ],
      'it claims 1e18 tensors',
      ['Read Again', 'Show Log'],
    ],
  ];
  test.each(cases)('%s: it says why and has the button that helps', async (name, messages, text, buttons) => {
    const { page, send } = await editor({ width: 800 });
    await send(...messages);
    await page.getByText(text).first().waitFor();
    await page.screenshot({ path: join(pictures, `checkpoint-file-state-${name}.png`) });
    expect(await violations(page)).toEqual([]);
    for (const label of buttons) await page.getByRole('button', { name: label, exact: true }).click();
  });
});

test('what can be done follows from the tensors', async () => {
  const { page, send, posted } = await filled();
  await page.getByRole('button', { name: 'Quantize to 1 Bit…' }).click();
  await send({ type: 'summary', summary: { ...summary, kind: 'onebit' } });
  await page.getByRole('button', { name: 'Inspect Layers' }).click();
  await send({ type: 'summary', summary: { ...summary, kind: undefined } });
  await page.getByText('nothing to quantize or inspect').waitFor();
  const done = (await posted())
    .map(({ type }) => type)
    .filter((type) => type === 'quantize' || type === 'inspect');
  expect(done).toEqual(['quantize', 'inspect']);
});
