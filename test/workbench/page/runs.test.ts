import { describe, expect, test } from 'vitest';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { distilling, full, metrics } from './panel-fixture.ts';
import { places, texts, usePanel, type PanelOptions } from './use-panel.ts';

const open = usePanel();
const panel = (snapshot: PanelSnapshot, options: PanelOptions = {}) =>
  open(snapshot, { kept: { tab: 'runs' }, ...options });

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

  test('progress changes the figures and moves nothing', async () => {
    const { page, send } = await panel(full);
    const parts = 'section, .job, .curve-plot, .curve-key';
    const before = await places(page, parts);
    const progress = {
      phase: 'distill',
      done: 321,
      total: 600,
      unit: 'steps' as const,
      remainingSeconds: 145,
    };
    await send({ type: 'job', job: { ...distilling, progress }, metrics: metrics(321).slice(320) });
    expect(await page.locator('.job-status').first().innerText()).toBe(
      'Distill · 321 of 600 steps · 2 min 25 s left',
    );
    expect(await places(page, parts)).toEqual(before);
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

test('the chosen scale and curves come back', async () => {
  const first = await panel(full);
  await first.page.getByRole('checkbox', { name: 'Losses on log scale' }).click();
  await first.page.locator('.curve-key', { hasText: 'Hidden' }).click();
  const second = await panel(full, { kept: await first.kept() });
  expect(await second.page.locator('.curve-key', { hasText: 'Hidden' }).getAttribute('aria-pressed')).toBe(
    'false',
  );
  expect(
    await second.page.getByRole('checkbox', { name: 'Losses on log scale' }).getAttribute('aria-checked'),
  ).toBe('true');
});
