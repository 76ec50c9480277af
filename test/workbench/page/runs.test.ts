import { describe, expect, test } from 'vitest';
import type { Job } from '../../../server/protocol/job.ts';
import type { PanelSnapshot, ToPanel } from '../../../server/protocol/panel.ts';
import { violations } from './axe.ts';
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
    expect((await posted()).filter(({ type }) => type !== 'ready' && type !== 'curves')).toEqual([
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

describe('a run of 100,000 steps', () => {
  const points = 100_000;
  const base64 = (values: Float32Array | Float64Array) => Buffer.from(values.buffer).toString('base64');
  const steps = Float64Array.from({ length: points }, (_, i) => i + 1);
  const column = (scale: number) =>
    base64(Float32Array.from(steps, (step) => scale * (2 + Math.cos(step / 900) + Math.sin(step * 78.233))));
  const perplexity = base64(Float32Array.from(steps, (step) => (step % 500 === 0 ? 20 + step / 1e4 : NaN)));
  const curves: Extract<ToPanel, { type: 'curves' }> = {
    type: 'curves',
    id: distilling.id,
    from: 0,
    curves: {
      points,
      next: 1,
      complete: true,
      axes: { step: base64(steps), seconds: base64(steps), tokens: base64(steps) },
      columns: { loss: column(1), kl: column(0.7), hidden: column(0.3), perplexity },
      measured: [],
    },
  };

  test('is asked for once, zoomed, panned, and shown whole again; the frames are measured', async () => {
    const { page, send, posted } = await panel(full);
    expect((await posted()).filter(({ type }) => type === 'curves')).toEqual([
      { type: 'curves', id: distilling.id },
    ]);
    await send(curves);
    const plot = page.getByRole('slider', { name: 'Step of the run' });
    expect(await plot.getAttribute('aria-valuemax')).toBe('100000');
    const looks = () =>
      plot.locator('canvas').evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL().length);
    const whole = await looks();
    // Every turn of the wheel and every press asks for a drawing: how long the page's thread takes for each.
    const frames = await plot.evaluate(async (target) => {
      const took: number[] = [];
      const act = async (action: () => void) => {
        action();
        await new Promise((resolve) => requestAnimationFrame(resolve));
        // Drawn in the frame's callbacks, or in a microtask after them.
        const began = performance.now();
        await new Promise((resolve) => setTimeout(resolve, 0));
        took.push(performance.now() - began);
      };
      const press =
        (key: string, shiftKey = false) =>
        () =>
          target.dispatchEvent(
            new KeyboardEvent('keydown', { key, shiftKey, bubbles: true, cancelable: true }),
          );
      const wheel = (deltaY: number) => () =>
        target.dispatchEvent(new WheelEvent('wheel', { deltaY, ctrlKey: true, cancelable: true }));
      for (let i = 0; i < 15; i++) await act(wheel(-1));
      for (let i = 0; i < 15; i++) await act(press('ArrowRight', true));
      for (let i = 0; i < 10; i++) await act(wheel(1));
      return took;
    });
    const sorted = [...frames].sort((a, b) => a - b);
    console.log(
      `100,000 points, 4 curves: ${frames.length} drawings, median ${sorted[frames.length >> 1]?.toFixed(1)} ms, longest ${sorted.at(-1)?.toFixed(1)} ms`,
    );
    expect(await looks()).not.toBe(whole);
    await page.getByRole('button', { name: 'Show All' }).last().click();
    await expect.poll(looks).toBe(whole);
  });

  test('is an area from the smallest to the largest value of each place, and shows the one peak', async () => {
    const loss = base64(
      Float32Array.from(steps, (step) => (step === 43_210 ? 9 : 2 + Math.sin(step * 78.233))),
    );
    const { page, send } = await panel(full);
    await send({ ...curves, curves: { ...curves.curves, columns: { loss } } });
    const columns = () =>
      page.locator('.curve-plot canvas').evaluate((canvas: HTMLCanvasElement) => {
        const { width, height } = canvas;
        const { data } = canvas.getContext('2d')?.getImageData(0, 0, width, height) ?? { data: [] };
        // --vscode-charts-blue of the dark theme is #57a3f8; axes and their figures are grey.
        const isBlue = (x: number, y: number) => {
          const [red = 0, , blue = 0] = data.slice(4 * (y * width + x), 4 * (y * width + x) + 3);
          return blue - red > 60;
        };
        const rows = Array.from({ length: height }, (_, y) => y);
        return Array.from({ length: width }, (_, x) => rows.filter((y) => isBlue(x, y)))
          .map((blue, x) => ({ x, top: blue[0] ?? -1, bottom: blue.at(-1) ?? -1, blue: blue.length }))
          .filter(({ blue }) => blue > 10);
      });
    await expect.poll(async () => (await columns()).length).toBeGreaterThan(500);
    const drawn = await columns();
    const [first, last] = [drawn[0]?.x ?? 0, drawn.at(-1)?.x ?? 0];
    const peak = drawn.reduce((a, b) => (b.top < a.top ? b : a));
    expect((peak.x - first) / (last - first)).toBeCloseTo(0.432, 2);
    expect(drawn.filter(({ top }) => top < peak.top + 50).length).toBeLessThan(6);
    // Filled all through; the edges are blended with the background.
    for (const { top, bottom, blue } of drawn) expect(blue).toBeGreaterThan(0.9 * (bottom - top));
  });

  test('is exported as picture and figures', async () => {
    const { page, send, posted } = await panel(full);
    await send(curves);
    for (const name of ['PNG…', 'CSV…', 'TensorBoard…']) {
      await page.getByRole('button', { name }).first().click();
    }
    const [picture, ...files] = (await posted()).slice(2);
    expect(picture).toMatchObject({ type: 'savePicture', name: `${distilling.id}.png` });
    const png = Buffer.from((picture as { content: string }).content, 'base64');
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect(png.readUInt32BE(20)).toBe(260);
    expect(files).toEqual([
      { type: 'exportJob', id: distilling.id, format: 'csv' },
      { type: 'exportJob', id: distilling.id, format: 'tensorboard' },
    ]);
  });
});

test('a second run is drawn beside the first, smoothed, and stays so; one that was cancelled resumes', async () => {
  const older: Job = { ...distilling, id: 'older', state: 'cancelled', ended: distilling.started };
  const two = {
    ...full,
    jobs: [distilling, older],
    metrics: { ...full.metrics, older: metrics(200).map((one) => ({ ...one, loss: 2 * one.loss })) },
  };
  const { page, posted, kept } = await panel(two);
  const other = page.getByRole('button', { name: /^Beside it: Distill code-teacher/ });
  const looks = () =>
    page.locator('.curve-plot canvas').evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
  const alone = await looks();
  await other.click();
  await expect.poll(looks).not.toBe(alone);
  expect(await other.getAttribute('aria-pressed')).toBe('true');
  expect(await posted()).toContainEqual({ type: 'curves', id: 'older' });
  await page.getByRole('button', { name: 'Resume: Distill code-teacher' }).click();
  expect((await posted()).at(-1)).toEqual({ type: 'resumeJob', id: 'older' });
  expect(await violations(page)).toEqual([]);
  expect(await kept()).toMatchObject({ overlay: ['older'] });
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
