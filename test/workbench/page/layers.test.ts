import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { layersCsv } from '../../../server/protocol/layers-csv.ts';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { layers } from './layers-fixture.ts';
import { llama, teacher } from './models-fixture.ts';
import { full } from './panel-fixture.ts';
import { pictures, texts, usePanel, type PanelOptions } from './use-panel.ts';

const open = usePanel();
const panel = (snapshot: PanelSnapshot, options: PanelOptions = {}) =>
  open(snapshot, { ...options, kept: { tab: 'layers', ...(options.kept as object | undefined) } });

/** First row of the grid's column, as many as asked. */
const column = (page: Page, index: number, count: number) =>
  page
    .locator(
      `vscode-data-grid-row:not([row-type]) > :nth-child(${index + 1}), vscode-data-grid-row[row-type="default"] > :nth-child(${index + 1})`,
    )
    .evaluateAll((all, n) => all.slice(0, n).map((cell) => cell.textContent), count);

describe('the layers', () => {
  const shown = { ...full, layers: layers(3, true) };

  test('are a table with the figures of the message', async () => {
    const { page } = await panel(shown);
    const first = shown.layers.layers[0];
    expect(await texts(page, 'vscode-data-grid-cell[cell-type="columnheader"]')).toEqual([
      ...['Matrix', 'Shape', '+1 signs', 'Error', 'Same signs', 'Cosine', 'σ₁ energy'],
      ...['Row +1 std', 'Row +1 min', 'Row +1 max', 'Column +1 std', 'Column +1 min', 'Column +1 max'],
      ...['Outliers', 'Top outlier'],
      ...['g mean', 'g std', 'g min', 'g max', 'h mean', 'h std', 'h min', 'h max'],
    ]);
    expect(
      await page.locator('vscode-data-grid-row').nth(1).locator('vscode-data-grid-cell').allInnerTexts(),
    ).toEqual([
      'layers.0.self_attn.q_proj',
      '4,096 × 4,096',
      `${((first?.positiveShare ?? 0) * 100).toFixed(2)}%`,
      first?.teacher?.relativeError.toPrecision(4),
      `${((first?.teacher?.signAgreement ?? 0) * 100).toFixed(2)}%`,
      ...[first?.teacher?.cosine.toPrecision(4), `${((first?.teacher?.energyShare ?? 0) * 100).toFixed(2)}%`],
      ...['0.80%', '47.00%', '53.00%', '0.60%', '48.00%', '52.00%', '0', '–'],
      ...[first?.g, first?.h].flatMap((d) =>
        [d?.mean, d?.std, d?.min, d?.max].map((value) => value?.toPrecision(4)),
      ),
    ]);
  });

  test('are sorted by a click or by the keyboard, and stay so after a reload', async () => {
    const { page, kept } = await panel(shown);
    const header = page.locator('vscode-data-grid-cell[cell-type="columnheader"]', { hasText: 'Error' });
    const errors = shown.layers.layers
      .map((layer) => layer.teacher?.relativeError ?? NaN)
      .sort((a, b) => a - b);
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

  test('have the outlier inputs that recur below', async () => {
    const { page } = await panel(shown);
    const table = page.getByRole('table', { name: /^Outlier inputs that recur/ });
    expect(await table.locator('tbody tr').first().locator('td').allInnerTexts()).toEqual([
      ...['5', '4,096', '6'],
      'layers.0.self_attn.q_proj, layers.0.self_attn.k_proj, layers.0.self_attn.v_proj, layers.0.self_attn.o_proj and 2 more',
    ]);
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

describe('the map', () => {
  const shown = { ...full, layers: layers(32, true) };
  const map = (page: Page) => page.getByRole('grid', { name: /^Map of the matrices/ });
  const cell = (page: Page, name: string) => map(page).getByRole('gridcell', { name: `layers.${name}:` });
  const colour = (page: Page, name: string) =>
    cell(page, name).evaluate((one) => getComputedStyle(one).backgroundColor);

  test('has every matrix in its place, with its number, and colours that follow the numbers', async () => {
    const { page } = await panel(shown);
    expect(await map(page).getByRole('gridcell').count()).toBe(7 * 32);
    expect(await map(page).getByRole('rowheader').allInnerTexts()).toEqual([
      'q',
      'k',
      'v',
      'o',
      'gate',
      'up',
      'down',
    ]);
    const errors = shown.layers.layers.map((layer) => ({
      name: layer.name.replace('model.layers.', ''),
      error: layer.teacher?.relativeError ?? NaN,
    }));
    errors.sort((a, b) => a.error - b.error);
    const [least, most] = [errors[0], errors.at(-1)];
    expect(await cell(page, most?.name ?? '').getAttribute('aria-label')).toBe(
      `layers.${most?.name}: Error ${most?.error.toPrecision(4)}`,
    );
    // --vscode-charts-blue of the dark theme: #57a3f8
    const blue = 'color(srgb 0.341176 0.639216 0.972549)';
    expect(await colour(page, most?.name ?? '')).toBe(blue);
    expect(await colour(page, least?.name ?? '')).not.toBe(blue);
    await page.screenshot({ path: join(pictures, 'map-32-layers.png') });
  });

  test('is coloured by another metric, which is kept; a balance both ways from the middle', async () => {
    const { page, kept } = await panel(shown);
    const before = await colour(page, '0.self_attn.v_proj');
    await page.getByRole('combobox', { name: 'What the map is coloured by' }).click();
    await page.getByRole('option', { name: '+1 signs' }).click();
    await expect.poll(() => colour(page, '0.self_attn.v_proj')).not.toBe(before);
    const share = shown.layers.layers.find(({ name }) => name.endsWith('.0.self_attn.v_proj'))?.positiveShare;
    expect(await cell(page, '0.self_attn.v_proj').getAttribute('aria-label')).toContain(
      `+1 signs ${((share ?? 0) * 100).toFixed(2)}%`,
    );
    expect(await cell(page, '0.self_attn.v_proj').getAttribute('data-end')).toBe('low');
    expect(await cell(page, '0.self_attn.k_proj').getAttribute('data-end')).toBe('high');
    await page.screenshot({ path: join(pictures, 'map-balance.png') });
    const again = await panel(shown, { kept: await kept() });
    expect(await cell(again.page, '0.self_attn.v_proj').getAttribute('aria-label')).toContain('+1 signs');
  });

  test('is walked with the arrow keys, says where one is, and opens a matrix', async () => {
    const { page, kept } = await panel(shown);
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? '');
    await map(page).locator('[tabindex="0"]').focus();
    expect(await map(page).locator('[tabindex="0"]').count()).toBe(1);
    for (const [key, name] of [
      ['ArrowRight', '1.self_attn.q_proj'],
      ['ArrowDown', '1.self_attn.k_proj'],
      ['ArrowUp', '1.self_attn.q_proj'],
      ['End', '31.self_attn.q_proj'],
      ['ArrowRight', '31.self_attn.q_proj'],
      ['PageDown', '31.mlp.down_proj'],
      ['Control+Home', '0.self_attn.q_proj'],
      ['ArrowDown', '0.self_attn.k_proj'],
    ] as const) {
      await page.keyboard.press(key);
      await expect.poll(focused).toContain(`layers.${name}:`);
    }
    expect(await map(page).locator('[tabindex="0"]').count()).toBe(1);
    const tip = page.locator('.map-tip:visible');
    await expect.poll(() => tip.innerText()).toMatch(/^layers\.0\.self_attn\.k_proj\s+Error 0\.\d{4}$/);
    await page.keyboard.press('Escape');
    await expect.poll(() => tip.isVisible()).toBe(false);
    await page.keyboard.press('Enter');
    await expect.poll(kept).toMatchObject({ matrix: 'model.layers.0.self_attn.k_proj' });
    await expect.poll(() => cell(page, '0.self_attn.k_proj').getAttribute('aria-selected')).toBe('true');
    await expect
      .poll(() => page.evaluate(() => document.activeElement?.textContent))
      .toBe('layers.0.self_attn.k_proj');
  });

  test('has a tooltip with the number under the pointer, and a click opens the matrix', async () => {
    const { page, kept } = await panel(shown, { theme: 'hc-light', width: 400 });
    await cell(page, '3.mlp.up_proj').hover();
    const error = shown.layers.layers.find(({ name }) => name.endsWith('.3.mlp.up_proj'))?.teacher
      ?.relativeError;
    await expect
      .poll(() => page.locator('.map-tip:visible').innerText())
      .toContain(`Error ${error?.toPrecision(4)}`);
    await page.screenshot({ path: join(pictures, 'map-tip-400.png') });
    await cell(page, '3.mlp.up_proj').click();
    await expect.poll(kept).toMatchObject({ matrix: 'model.layers.3.mlp.up_proj' });
  });
});

describe('what can be saved', () => {
  const shown = { ...full, layers: layers(6, true) };

  test('is the table, with every number as the command line writes it', async () => {
    const { page, posted } = await panel(shown);
    await page.getByRole('button', { name: 'CSV…: save the table' }).click();
    await page.getByRole('button', { name: 'JSON…: save the table' }).click();
    const [csv, json] = (await posted()).filter(({ type }) => type === 'saveText');
    expect(csv).toEqual({
      type: 'saveText',
      name: 'llama-7b-onebit-layers.csv',
      content: layersCsv(shown.layers),
    });
    expect(JSON.parse((json as { content: string }).content)).toEqual(shown.layers);
  });

  test('is the map, as SVG and as PNG, with the colours that it has on the page', async () => {
    const { page, posted } = await panel(shown, { theme: 'light' });
    await page.getByRole('button', { name: 'SVG…: save the map' }).click();
    await page.getByRole('button', { name: 'PNG…: save the map' }).click();
    const [svg] = (await posted()).filter(({ type }) => type === 'saveText') as {
      name: string;
      content: string;
    }[];
    const [png] = (await posted()).filter(({ type }) => type === 'savePicture') as {
      name: string;
      content: string;
    }[];
    expect([svg?.name, png?.name]).toEqual(
      ['svg', 'png'].map((ending) => `llama-7b-onebit-map-relativeError.${ending}`),
    );
    const onPage = await page.locator('.map-cell').evaluateAll((all) =>
      all.map((one) => {
        const [red, green, blue] =
          getComputedStyle(one)
            .backgroundColor.match(/[\d.]+/g)
            ?.map(Number) ?? [];
        return [red, green, blue].map((part) => Math.round((part ?? NaN) * 255));
      }),
    );
    const saved = [
      ...(svg?.content ?? '').matchAll(/width="28" height="20" fill="rgb\((\d+), (\d+), (\d+)\)"/g),
    ].map(([, ...parts]) => parts.map(Number));
    expect(saved).toHaveLength(42);
    saved.forEach((colour, i) =>
      colour.forEach((part, j) => expect(Math.abs(part - (onPage[i]?.[j] ?? NaN))).toBeLessThanOrEqual(1)),
    );
    const file = Buffer.from(png?.content ?? '', 'base64');
    expect(file.subarray(1, 4).toString()).toBe('PNG');
    writeFileSync(join(pictures, 'saved-map.png'), file);
    writeFileSync(join(pictures, 'saved-map.svg'), svg?.content ?? '');
    // The same picture: what the browser makes of the SVG is as large as the PNG at two pixels a unit.
    const [, width, height] = /<svg [^>]*width="(\d+)" height="(\d+)"/.exec(svg?.content ?? '') ?? [];
    expect([file.readUInt32BE(16), file.readUInt32BE(20)]).toEqual([2 * Number(width), 2 * Number(height)]);
  });
});
