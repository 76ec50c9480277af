import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { writeRandomModel } from '../../bench/model-shape.ts';
import { readPlainTensors } from '../../reference/plain-safetensors.ts';
import { answerAsks } from './answer-asks.ts';
import { violations } from './axe.ts';
import { full } from './panel-fixture.ts';
import { pictures, usePanel } from './use-panel.ts';

/** The view of one matrix, with a model on disk and the server's own code behind it. */

const open = usePanel();
const bench = process.env['ONEBIT_BENCH_SIGNS'] !== undefined;
const name = 'model.layers.0.mlp.gate_proj';
const sizes = bench ? { hidden: 4096, inner: 11008 } : { hidden: 512, inner: 1376 };
const folder = mkdtempSync(join(tmpdir(), 'onebit-signs-'));
let snapshot: PanelSnapshot = full;

beforeAll(async () => {
  const { hidden, inner } = sizes;
  const config = {
    ...{
      architecture: 'llama' as const,
      vocabSize: 64,
      maxPositions: 128,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
    },
    ...{ tieEmbeddings: true, attentionBias: false, mlpBias: false, layerNormEps: 1e-5 },
    ...{ bosTokenId: 1, eosTokenIds: [2], hiddenSize: hidden, intermediateSize: inner, layers: 1 },
    ...{ heads: 8, kvHeads: 8, headDim: hidden / 8 },
  };
  await writeRandomModel(folder, config, 'onebit');
  snapshot = { ...full, layers: await inspectLayers(folder) };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const show = async (options: Parameters<typeof open>[1] = {}) => {
  const made = await open(
    { ...full, layers: undefined },
    { kept: { tab: 'layers', matrix: name }, ...options },
  );
  await answerAsks(made.page);
  await made.send({ type: 'snapshot', snapshot });
  return made;
};

const readout = (page: Page) => page.locator('.signs-readout').innerText();

describe.skipIf(bench)('the picture of signs', () => {
  test('goes down to single signs, which are those of the file', async () => {
    const { page } = await show();
    const canvas = page.locator('.signs-canvas');
    await canvas.focus();
    await expect.poll(() => page.locator('#signs-text').innerText()).toContain('Rows 0–1,375 of 1,376');
    for (let i = 0; i < 8; i++) await page.keyboard.press('+');
    await expect.poll(() => readout(page)).toMatch(/[+−]1 · g /);
    const packed = readPlainTensors(folder).get(`${name}.weight`);
    const seen = new Set<string>();
    for (const key of ['ArrowRight', 'ArrowDown', 'ArrowRight', 'ArrowUp', 'ArrowLeft', 'ArrowLeft']) {
      const before = await readout(page);
      await page.keyboard.press(key);
      // The picture moves with the next frame: until then it says the place before.
      let shown = before;
      await expect
        .poll(async () => {
          shown = await readout(page);
          return shown !== before && /[+−]1 · g /.test(shown);
        })
        .toBe(true);
      const [, row, column, sign] = /row ([\d,]+), column ([\d,]+) · ([+−]1)/.exec(shown) ?? [];
      const [i, j] = [row, column].map((text) => Number((text ?? '').replace(',', ''))) as [number, number];
      const bit = ((packed?.values[i * (packed.shape[1] ?? NaN) + (j >> 3)] ?? NaN) >> (j & 7)) & 1;
      expect(sign).toBe(bit === 1 ? '−1' : '+1');
      seen.add(`${i} ${j}`);
    }
    expect(seen.size).toBeGreaterThan(3);
    await page.screenshot({ path: join(pictures, 'matrix-bits.png'), fullPage: true });
    await page.keyboard.press('0');
    await expect.poll(() => page.locator('#signs-text').innerText()).toContain('Rows 0–1,375 of 1,376');
    expect(await violations(page)).toEqual([]);
  });

  test('is opened from the table, and closed', async () => {
    const { page, kept } = await show({ kept: { tab: 'layers' } });
    expect(await page.locator('.signs-canvas').isVisible()).toBe(false);
    await page.getByText('layers.0.mlp.gate_proj').click();
    await page.locator('.signs-canvas').waitFor();
    expect(await kept()).toMatchObject({ matrix: name });
    await page.getByRole('button', { name: 'Close' }).click();
    await expect.poll(() => page.locator('.signs-canvas').isVisible()).toBe(false);
  });
});

// ONEBIT_BENCH_SIGNS=1: 11008 × 4096 signs, with the frames a second while it is moved and zoomed. Prints; says nothing
// about good or bad, which depends on the machine.
test.runIf(bench)('11008 × 4096 signs: first view, frames a second, memory', async () => {
  const { page } = await show({ kept: { tab: 'layers' } });
  const first = await page.evaluate(async (wanted) => {
    const row = [...document.querySelectorAll<HTMLElement>('vscode-data-grid-row')].find((one) =>
      one.textContent?.includes(wanted),
    );
    if (row === undefined) throw new Error('The matrix is not in the table.');
    const started = performance.now();
    row.click();
    for (;;) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      // Not on the page before a matrix is chosen.
      const canvas = document.querySelector<HTMLCanvasElement>('.signs-canvas');
      const { data } = canvas?.getContext('2d')?.getImageData(540, 200, 16, 16) ?? { data: [0] };
      // All tiles of the whole are two: 5 bytes a cell, 344 × 128 cells.
      if (Number(canvas?.dataset['tileBytes']) >= 5 * 344 * 128 && new Set(data).size > 3)
        return performance.now() - started;
    }
  }, 'gate_proj');
  await page.waitForTimeout(1000);
  const box = await page.locator('.signs-canvas').boundingBox();
  if (box === null) throw new Error('The picture is not shown.');
  const session = await page.context().newCDPSession(page);
  const frames = async (moves: number, move: string) =>
    page.evaluate(
      async ([count, what]) => {
        const canvas = document.querySelector<HTMLCanvasElement>('.signs-canvas');
        canvas?.focus();
        const times: number[] = [];
        for (let i = 0; i < count; i++) {
          times.push(await new Promise<number>((resolve) => requestAnimationFrame(resolve)));
          if (what === 'zoom') {
            const deltaY = i < count / 2 ? -14 : 14;
            canvas?.dispatchEvent(
              new WheelEvent('wheel', {
                deltaY,
                clientX: 500,
                clientY: 400,
                bubbles: true,
                cancelable: true,
              }),
            );
          } else {
            const turn = (i / count) * 8 * Math.PI;
            const at = { clientX: 500 + 150 * Math.cos(turn), clientY: 400 + 150 * Math.sin(turn) };
            const init = { ...at, buttons: 1, bubbles: true, pointerId: 1 };
            if (i === 0) canvas?.dispatchEvent(new PointerEvent('pointermove', init));
            canvas?.dispatchEvent(new PointerEvent('pointermove', init));
          }
        }
        const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time));
        gaps.sort((a, b) => a - b);
        return {
          perSecond: 1000 / (gaps.reduce((a, b) => a + b, 0) / gaps.length),
          p99: gaps[Math.floor(gaps.length * 0.99)] ?? NaN,
          longest: gaps.at(-1) ?? NaN,
        };
      },
      [moves, move] as const,
    );
  const lines = [`first view ${first.toFixed(0)} ms`];
  const said = (name: string, { perSecond, p99, longest }: Awaited<ReturnType<typeof frames>>) =>
    lines.push(
      `${name}: ${perSecond.toFixed(1)} frames/s, 99th percentile ${p99.toFixed(0)} ms, longest ${longest.toFixed(0)} ms`,
    );
  await page.mouse.move(box.x + 500, box.y + 200);
  said('zoom from all to single signs and back', await frames(400, 'zoom'));
  for (let i = 0; i < 4; i++) await page.keyboard.press('+');
  await page.mouse.down();
  said('drag at 16 ×', await frames(400, 'drag'));
  await page.mouse.up();
  for (let i = 0; i < 4; i++) await page.keyboard.press('+');
  await page.mouse.down();
  said('drag at single signs', await frames(400, 'drag'));
  await page.mouse.up();
  const { usedSize } = (await session.send('Runtime.getHeapUsage')) as { usedSize: number };
  const tileBytes = await page.locator('.signs-canvas').getAttribute('data-tile-bytes');
  lines.push(`tiles ${(Number(tileBytes) / 1e6).toFixed(1)} MB, JS heap ${(usedSize / 1e6).toFixed(1)} MB`);
  console.log(lines.join('\n'));
});
