import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { PanelSnapshot } from '../../server/protocol/panel.ts';
import { chromiumPath, root } from './harness/places.ts';
import { distilling, full, layers, llama, memory, metrics, starter, teacher } from './panel-fixture.ts';
import { openWebview, serveWebview, type ThemeName, type WebviewPage } from './webview-page.ts';

/** The panel's page in a real browser, fed with messages: what it shows, says and posts. */

const pictures = join(root, 'test', 'output', 'webview');
const themes: ThemeName[] = ['dark', 'light', 'hc-black', 'hc-light'];
const empty: PanelSnapshot = {
  connection: 'connected',
  models: [starter, llama, teacher],
  jobs: [],
  metrics: {},
};
const idle = { process: memory.process, model: { state: 'none' as const, active: 0, queued: 0 } };

let browser: Browser;
let site: Awaited<ReturnType<typeof serveWebview>>;
let open: WebviewPage[] = [];

beforeAll(async () => {
  mkdirSync(pictures, { recursive: true });
  site = await serveWebview();
  browser = await chromium.launch({
    executablePath: chromiumPath(),
    args: ['--no-sandbox', '--disable-gpu'],
  });
});
afterAll(async () => {
  await browser.close();
  await site.close();
});
// Whatever a test was about: nothing may have been refused by the policy or thrown.
afterEach(async () => {
  const seen = open;
  open = [];
  for (const { page } of seen) await page.context().close();
  expect(seen.flatMap(({ complaints }) => complaints)).toEqual([]);
});

async function panel(
  snapshot: PanelSnapshot,
  options: { theme?: ThemeName; width?: number; height?: number; kept?: unknown } = {},
): Promise<WebviewPage> {
  const made = await openWebview(browser, site.url, { theme: 'dark', width: 1000, ...options });
  open.push(made);
  await made.send({ type: 'snapshot', snapshot });
  return made;
}

const texts = (page: Page, selector: string) => page.locator(selector).allInnerTexts();
const cells = async (page: Page, part: string) =>
  (await texts(page, `.parts [data-part="${part}"] > :not(.part-bars)`)).map((text) => text.trim());

/** First row of the grid's column, as many as asked. */
const column = (page: Page, index: number, count: number) =>
  page
    .locator(
      `vscode-data-grid-row:not([row-type]) > :nth-child(${index + 1}), vscode-data-grid-row[row-type="default"] > :nth-child(${index + 1})`,
    )
    .evaluateAll((all, n) => all.slice(0, n).map((cell) => cell.textContent), count);

interface AxNode {
  role?: { value: string };
  name?: { value: string };
  ignored: boolean;
}

/** The things of a page that do something, as a screen reader is told of them: role and name. */
async function controls(page: Page): Promise<{ role: string; name: string }[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = (await session.send('Accessibility.getFullAXTree')) as { nodes: AxNode[] };
  const roles = [
    'button',
    'checkbox',
    'combobox',
    'grid',
    'table',
    'progressbar',
    'slider',
    'ComboBoxSelect',
  ];
  return nodes
    .filter((node) => !node.ignored && roles.includes(node.role?.value ?? ''))
    .map((node) => ({ role: node.role?.value ?? '', name: node.name?.value ?? '' }));
}

describe.each(themes)('in the theme %s', (theme) => {
  test.each([400, 1000])('everything has room at %d px, and every control has a name', async (width) => {
    const { page } = await panel(full, { theme, width });
    await page.locator('vscode-data-grid-row').nth(42).waitFor({ state: 'attached' });
    await page.screenshot({ path: join(pictures, `full-${theme}-${width}.png`), fullPage: true });
    const { content, window, outside } = await page.evaluate(() => ({
      content: document.documentElement.scrollWidth,
      window: document.documentElement.clientWidth,
      // Nothing of the page but the table, which scrolls by itself, reaches over the right edge.
      outside: [...document.querySelectorAll('.page *')]
        .filter((one) => one.closest('.layers-scroll') === null)
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
        .map((one) => one.className || one.tagName),
    }));
    expect(content).toBeLessThanOrEqual(window);
    expect(outside).toEqual([]);
    const found = await controls(page);
    expect(found.length).toBeGreaterThan(15);
    expect(found.filter(({ name }) => name.trim() === '')).toEqual([]);
  });
});

describe('the memory', () => {
  test('is shown with the figures of the message, part by part', async () => {
    const { page } = await panel(full);
    expect(await texts(page, '.page-model')).toEqual([
      'llama-7b-onebit · 1-bit · 6.74 B parameters · 1 completion',
    ]);
    expect(await cells(page, 'signs')).toEqual(['Signs', '810 MB', '13.0 GB', '16×']);
    expect(await cells(page, 'values')).toEqual(['Values g, h', '5.64 MB', '–', '–']);
    expect(await cells(page, 'embedding')).toEqual(['Embedding', '262 MB', '262 MB', '1×']);
    expect(await cells(page, 'total')).toEqual(['Model', '1.34 GB', '13.5 GB', '10.1×']);
    expect(await cells(page, 'kv-cache')).toEqual(['KV cache', '1.07 GB', '–', '–']);
    const figures = Object.fromEntries(
      (await texts(page, '.figure')).map((text) => {
        const [label, ...rest] = text.replaceAll('\u00a0', ' ').split('\n').filter(Boolean);
        return [label, rest.join(' | ')];
      }),
    );
    expect(figures).toEqual({
      Model: '1.34 GB | 13.5 GB in fp16, 10.1× as much',
      'Bits per linear weight': '1.01 | fp16 has 16',
      'KV cache': '1.07 GB | 2,048 tokens of context',
      'Server process': '2.51 GB | heap 41.3 MB, up 1 h 15 min',
      Device: 'CPU | Intel Xeon Platinum 8481C · avx512',
    });
  });

  test('bars have the lengths of the bytes', async () => {
    const { page } = await panel(full);
    const width = (part: string, bar: string) =>
      page.locator(`[data-part="${part}"] .bar-${bar}`).evaluate((one) => one.getBoundingClientRect().width);
    const [signs, signsFp16, embedding] = [
      await width('signs', 'packed'),
      await width('signs', 'fp16'),
      await width('embedding', 'packed'),
    ];
    expect(signs / signsFp16).toBeCloseTo(809_500_672 / 12_952_010_752, 2);
    expect(embedding / signsFp16).toBeCloseTo(262_144_000 / 12_952_010_752, 2);
  });

  test('a new reading changes the figures and moves nothing', async () => {
    const { page, send } = await panel(full);
    await page.locator('vscode-data-grid-row').nth(42).waitFor({ state: 'attached' });
    const places = () =>
      page.evaluate(() =>
        [...document.querySelectorAll('section, .job, .figure, .curve-plot, .curve-key')].map((one) => {
          const { x, y, width, height } = one.getBoundingClientRect();
          return [one.className, x, y, width, height].join(' ');
        }),
      );
    const before = await places();
    await send(
      { type: 'memory', memory: { ...memory, process: { ...memory.process, rssBytes: 2_499_000_000 } } },
      {
        type: 'job',
        job: {
          ...distilling,
          progress: { phase: 'distill', done: 321, total: 600, unit: 'steps', remainingSeconds: 145 },
        },
        metrics: metrics(321).slice(320),
      },
    );
    expect(await page.locator('.figure', { hasText: 'Server process' }).innerText()).toContain('2.50 GB');
    expect(await page.locator('.job-status').first().innerText()).toBe(
      'Distill · 321 of 600 steps · 2 min 25 s left',
    );
    expect(await places()).toEqual(before);
  });
});

describe('the jobs', () => {
  test('are listed with state, progress and remaining time', async () => {
    const { page } = await panel(full);
    expect(await texts(page, '.job-title')).toEqual([
      'Distill code-teacher',
      'Quantize tinyllama-1.1b',
      'Quantize llama-7b',
      'Quantize broken-llama',
    ]);
    expect(await texts(page, '.job-state')).toEqual(['Running', 'Waiting', 'Done', 'Failed']);
    const running = page.locator('.job').first();
    expect(await running.locator('.job-status').innerText()).toBe(
      'Distill · 320 of 600 steps · 2 min 26 s left',
    );
    expect(await running.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('53');
    expect(await page.locator('.job-error:visible').innerText()).toContain(
      'model-00002-of-00003.safetensors',
    );
  });

  test('can be cancelled and their folders opened', async () => {
    const { page, posted } = await panel(full);
    await page.getByRole('button', { name: 'Cancel: Distill code-teacher' }).click();
    await page.getByRole('button', { name: 'Open folder: Quantize llama-7b' }).click();
    expect((await posted()).slice(1)).toEqual([
      { type: 'cancelJob', id: distilling.id },
      { type: 'openJobFolder', id: 'quantize-1' },
    ]);
  });
});

describe('the training curve', () => {
  test('has the last values beside it, and says itself in words', async () => {
    const { page } = await panel(full);
    const last = metrics(320).at(-1);
    expect(await page.locator('.curve-key', { hasText: 'Loss' }).innerText()).toContain(
      last?.loss.toPrecision(4) ?? '',
    );
    expect(await page.getByText(/^Loss .* at step/).innerText()).toMatch(
      /^Loss \d\.\d+ at step 1, \d\.\d+ at step 320\. Held-out perplexity 5,010 at step 1, 14\.03 at step 300\.$/,
    );
  });

  test('tells which signs turned, layer by layer, and what the student writes beside its teacher', async () => {
    const { page } = await panel(full);
    const measurement = page.locator('.measurement');
    expect(await measurement.locator('.note').innerText()).toMatch(
      /^Signs turned at step 300: 0\.20% since the measurement before, 1\.95% since the start\./,
    );
    const heights = await measurement
      .locator('.flip')
      .evaluateAll((bars) => bars.map((bar) => bar.getBoundingClientRect().height));
    expect(heights).toHaveLength(6);
    expect(heights[0]).toBeGreaterThan(0);
    expect(heights).toEqual([...heights].sort((a, b) => a - b));
    expect(await measurement.locator('dt').allInnerTexts()).toEqual(['Student at step 300', 'Teacher']);
    const samples = await measurement.locator('pre').allInnerTexts();
    expect(samples[0]).toContain('const text = await readFile(path, { step: 300 });');
    expect(samples[1]).toContain("const text = await readFile(path, 'utf8');");
  });

  test('is drawn in the colours of the theme, and fills the width', async () => {
    const { page } = await panel(full);
    const drawn = () =>
      page.locator('.curve-plot canvas').evaluate((canvas: HTMLCanvasElement) => {
        const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? {
          data: [],
        };
        let blue = 0;
        // --vscode-charts-blue of the dark theme: #57a3f8
        for (let i = 0; i < data.length; i += 4) {
          if (data[i] === 0x57 && data[i + 1] === 0xa3 && data[i + 2] === 0xf8) blue++;
        }
        return { blue, width: canvas.getBoundingClientRect().width };
      });
    const wide = await drawn();
    expect(wide.blue).toBeGreaterThan(200);
    await page.setViewportSize({ width: 500, height: 900 });
    await expect.poll(async () => (await drawn()).width).toBeLessThan(wide.width - 300);
    await page.locator('.curve-key', { hasText: 'Loss' }).click();
    await expect.poll(async () => (await drawn()).blue).toBe(0);
  });

  test('is walked with the arrow keys', async () => {
    const { page } = await panel(full);
    const plot = page.getByRole('slider', { name: 'Step of the run' });
    await plot.focus();
    await page.keyboard.press('Home');
    await expect.poll(() => plot.getAttribute('aria-valuenow')).toBe('1');
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => plot.getAttribute('aria-valuetext')).toContain('Step\u00a02');
    expect(await page.locator('.curve-key', { hasText: 'Loss' }).innerText()).toContain(
      metrics(2)[1]?.loss.toPrecision(4) ?? '?',
    );
  });
});

describe('the layers', () => {
  const shown = { ...full, layers: layers(3, true) };

  test('are a table with the figures of the message', async () => {
    const { page } = await panel(shown);
    const first = shown.layers.layers[0];
    expect(await texts(page, 'vscode-data-grid-cell[cell-type="columnheader"]')).toEqual([
      ...['Matrix', 'Shape', '+1 signs', 'Error', 'Same signs'],
      ...['g mean', 'g std', 'g min', 'g max', 'h mean', 'h std', 'h min', 'h max'],
    ]);
    expect(
      await page.locator('vscode-data-grid-row').nth(1).locator('vscode-data-grid-cell').allInnerTexts(),
    ).toEqual([
      'layers.0.self_attn.q_proj',
      '4,096 × 4,096',
      `${((first?.positiveShare ?? 0) * 100).toFixed(2)}%`,
      first?.relativeError?.toPrecision(4),
      `${((first?.signAgreement ?? 0) * 100).toFixed(2)}%`,
      ...[first?.g, first?.h].flatMap((d) =>
        [d?.mean, d?.std, d?.min, d?.max].map((value) => value?.toPrecision(4)),
      ),
    ]);
  });

  test('are sorted by a click or by the keyboard, and stay so after a reload', async () => {
    const { page, kept } = await panel(shown);
    const header = page.locator('vscode-data-grid-cell[cell-type="columnheader"]', { hasText: 'Error' });
    const errors = shown.layers.layers.map((layer) => layer.relativeError ?? NaN).sort((a, b) => a - b);
    const asText = (values: number[]) => values.map((value) => value.toPrecision(4));
    await header.click();
    await expect.poll(() => column(page, 3, 21)).toEqual(asText(errors));
    expect(await header.getAttribute('aria-sort')).toBe('ascending');
    await page.keyboard.press('Enter');
    await expect.poll(() => column(page, 3, 21)).toEqual(asText([...errors].reverse()));
    expect(await header.getAttribute('aria-sort')).toBe('descending');

    const again = await panel(shown, { kept: await kept() });
    expect(await column(again.page, 3, 21)).toEqual(asText([...errors].reverse()));
  });

  test('are walked with the arrow keys', async () => {
    const { page } = await panel(shown);
    await page.locator('vscode-data-grid-cell[cell-type="columnheader"]').first().focus();
    for (const key of ['ArrowRight', 'ArrowDown', 'ArrowDown']) await page.keyboard.press(key);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('4,096 × 4,096');
  });

  test('are asked for again after a reload of the window, when the extension has forgotten them', async () => {
    const inspect = { model: llama.id, teacher: teacher.path };
    const { posted } = await panel({ ...full, layers: undefined }, { kept: { inspect } });
    expect(await posted()).toEqual([{ type: 'ready' }, { type: 'inspect', ...inspect }]);
  });

  test('are asked for by the button, with a teacher by the other', async () => {
    const { page, posted } = await panel({ ...full, layers: undefined });
    await page.getByRole('button', { name: 'Read Layers' }).click();
    await page.getByRole('button', { name: 'Compare with Teacher…' }).click();
    expect((await posted()).slice(1)).toEqual([
      { type: 'inspect', model: llama.id },
      { type: 'chooseTeacher', model: llama.id },
    ]);
  });
});

describe('where there is nothing to show', () => {
  const cases: [string, PanelSnapshot, string, [string, unknown][]][] = [
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
        ['Quantize a Checkpoint…', { type: 'quantize' }],
        ['Distill a Student…', { type: 'distill' }],
      ],
    ],
    [
      'loading',
      {
        ...empty,
        memory: {
          ...memory,
          model: { state: 'loading', model: llama, progress: 0.42, active: 0, queued: 0 },
        },
        inspecting: {
          id: 'first',
          model: llama.id,
          progress: { phase: 'inspect', done: 12, total: 224, unit: 'tensors' },
        },
      },
      'Loading llama-7b-onebit… 42%',
      [['Cancel', { type: 'cancelInspect' }]],
    ],
    [
      'unloaded',
      {
        ...empty,
        memory: { ...memory, model: { state: 'unloaded', model: llama, active: 0, queued: 0 } },
        layersError: 'model.safetensors is truncated: download it again.',
      },
      'model.safetensors is truncated: download it again.',
      [
        ['Load Now', { type: 'loadModel', model: llama.id }],
        ['Try Again', { type: 'inspect', model: llama.id }],
      ],
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

  test.each(cases)('%s: it says why and has the button that helps', async (name, snapshot, text, buttons) => {
    const { page, posted } = await panel(snapshot, { width: 800, height: 500 });
    await page.getByText(text).first().waitFor();
    await page.screenshot({ path: join(pictures, `state-${name}.png`), fullPage: true });
    for (const [label] of buttons) await page.getByRole('button', { name: label, exact: true }).click();
    expect((await posted()).slice(1)).toEqual(buttons.map(([, message]) => message));
    if (snapshot.connection !== 'connected') expect(await page.locator('.page-body').isVisible()).toBe(false);
  });

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
    layers: { model: llama.id, layers: layers(1, false).layers.map((layer) => ({ ...layer, name: evil })) },
  });
  expect(await page.locator('.page-model').innerText()).toContain(evil);
  expect(await page.locator('.job-error').innerText()).toBe(evil);
  expect(await page.locator('main img, main b').count()).toBe(0);
});

test('the chosen run, scale, curves and place come back', async () => {
  const first = await panel(full, { height: 600 });
  await first.page.getByRole('checkbox', { name: 'Losses on log scale' }).click();
  await first.page.locator('.curve-key', { hasText: 'Hidden' }).click();
  await first.page.evaluate(() => window.scrollTo(0, 700));
  await expect.poll(async () => (await first.kept()) as object).toMatchObject({ scroll: 700 });
  const second = await panel(full, { height: 600, kept: await first.kept() });
  await expect.poll(() => second.page.evaluate(() => window.scrollY)).toBe(700);
  expect(await second.page.locator('.curve-key', { hasText: 'Hidden' }).getAttribute('aria-pressed')).toBe(
    'false',
  );
  expect(
    await second.page.getByRole('checkbox', { name: 'Losses on log scale' }).getAttribute('aria-checked'),
  ).toBe('true');
});
