import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { layers } from './layers-fixture.ts';
import { llama, teacher } from './models-fixture.ts';
import { full } from './panel-fixture.ts';
import { texts, usePanel, type PanelOptions } from './use-panel.ts';

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
      ...['Matrix', 'Shape', '+1 signs', 'Error', 'Same signs'],
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
