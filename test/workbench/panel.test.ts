import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Locator } from 'playwright-core';
import { expect, test } from 'vitest';
import { layersCsv } from '../../server/protocol/layers-csv.ts';
import { starterTeacher } from './harness/places.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const workbench = useWorkbench({ settings: () => ({ 'onebit.completion.enabled': false }) });

const unitSizes: Record<string, number> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, '%': 0.01, '': 1 };

/** A figure as it is shown (`1.94 MB`, `49.87%`, `1,234`), and by how much it may be off: half of its last digit. */
function read(text: string): { value: number; tolerance: number } {
  const [, sign = '', digits = '', unit = ''] =
    /^([-−]?)([\d.,]+(?:e[-+]?\d+)?)\s*(B|kB|MB|GB|%)?$/.exec(text.trim()) ?? [];
  const plain = digits.replaceAll(',', '');
  const [mantissa = '', exponent = '0'] = plain.split('e');
  const decimals = mantissa.split('.')[1]?.length ?? 0;
  const scale = (unitSizes[unit] ?? NaN) * 10 ** Number(exponent);
  return {
    value: (sign === '' ? 1 : -1) * Number(mantissa) * scale,
    tolerance: 0.5001 * 10 ** -decimals * scale,
  };
}

function expectText(text: string, actual: number): void {
  const { value, tolerance } = read(text);
  expect(Math.abs(value - actual), `${text} stands for ${actual}`).toBeLessThanOrEqual(tolerance);
}

async function expectFigure(shown: Locator, actual: number): Promise<void> {
  expectText(await shown.innerText(), actual);
}

const part = (name: string) => workbench().webview.locator(`table.parts tr[data-part="${name}"] td.number`);
const figure = (label: string) =>
  workbench().webview.locator('.figures .figure', { hasText: label }).locator('.figure-value');

test('the memory figures are those of the server', async () => {
  await workbench().command('OneBit: Start Server');
  await until('the model is there', async () => /OneBit: off/.test(await workbench().status.innerText()));
  await workbench().command('OneBit: Open Panel');
  await part('signs').first().waitFor();
  const client = await workbench().client();
  try {
    const { model } = await client.request('memory/read', {});
    const memory = model.memory;
    if (memory === undefined) throw new Error('The server has no model in memory.');
    expect(memory.parts.length).toBeGreaterThan(4);
    for (const { part: name, bytes, fp16Bytes } of memory.parts) {
      await expectFigure(part(name).nth(0), bytes);
      if (fp16Bytes > 0) await expectFigure(part(name).nth(1), fp16Bytes);
    }
    await expectFigure(part('total').nth(0), memory.modelBytes);
    await expectFigure(part('total').nth(1), memory.fp16ModelBytes);
    await expectFigure(figure('Bits per linear weight'), memory.bitsPerLinearWeight);
    await expectFigure(figure('KV cache'), memory.kvCacheBytes);
    expect(await figure('Device').innerText()).toBe(memory.device.kind.toUpperCase());
  } finally {
    await client.close();
  }
  await workbench().picture('panel-1-memory');
});

test('the table of layers holds the statistics of the server', async () => {
  const { webview } = workbench();
  await webview.getByRole('tab', { name: 'Layers' }).click();
  await webview.getByText('Read Layers').click();
  const rows = webview.locator('.layers-scroll vscode-data-grid-row');
  const client = await workbench().client();
  try {
    const { layers } = await client.request('inspect/layers', { id: 'starter', model: 'starter' });
    await until('all rows are there', async () => (await rows.count()) === layers.length + 1);
    const [head = [], ...table] = await rows.evaluateAll((elements) =>
      elements.map((row) => [...row.children].map((cell) => (cell.textContent ?? '').trim())),
    );
    for (const [index, layer] of layers.entries()) {
      const cell = (label: string): string => table[index]?.[head.indexOf(label)] ?? '';
      expect(layer.name).toBe(`model.${cell('Matrix')}`);
      expect(cell('Shape').replaceAll(',', '')).toBe(`${layer.rows} × ${layer.columns}`);
      expectText(cell('+1 signs'), layer.positiveShare);
      for (const statistic of ['mean', 'std', 'min', 'max'] as const) {
        expectText(cell(`g ${statistic}`), layer.g[statistic]);
        expectText(cell(`h ${statistic}`), layer.h[statistic]);
      }
    }
  } finally {
    await client.close();
  }
  await workbench().page.mouse.move(700, 500);
  await workbench().page.mouse.wheel(0, 600);
  await workbench().picture('panel-2-layers');
});

test('the map says the numbers of the server, and opens a matrix', async () => {
  const { webview } = workbench();
  const client = await workbench().client();
  try {
    const { layers } = await client.request('inspect/layers', { id: 'starter-map', model: 'starter' });
    const cells = webview.getByRole('grid', { name: /^Map of the matrices/ }).locator('.map-cell');
    const labels = await cells.evaluateAll((all) => all.map((one) => one.getAttribute('aria-label') ?? ''));
    expect(labels).toHaveLength(layers.length);
    for (const label of labels) {
      const [, name, text] = /^(\S+): \+1 signs (.*)$/.exec(label) ?? [];
      const layer = layers.find((one) => one.name === `model.${name}`);
      expectText(text ?? '', layer?.positiveShare ?? NaN);
    }
    await cells.nth(8).click();
    await webview.locator('.matrix-figures').getByText('g mean').waitFor();
    await until('the charts are there', async () =>
      ((await webview.locator('.chart-readout').first().textContent()) ?? '').includes('…'),
    );
    await workbench().picture('panel-4-matrix');
    await webview.getByRole('button', { name: 'Close: the view of this matrix' }).click();
  } finally {
    await client.close();
  }
});

test('the table is saved where the dialog says, as the command line writes it', async () => {
  const { webview, page, folders } = workbench();
  await webview.getByRole('button', { name: 'CSV…: save the table' }).click();
  const input = page.locator('.quick-input-widget input.input');
  await until('the dialog proposes a name', async () =>
    (await input.inputValue()).endsWith('/starter-layers.csv'),
  );
  await page.keyboard.press('Enter');
  const file = join(folders.workspace, 'starter-layers.csv');
  const client = await workbench().client();
  try {
    const result = await client.request('inspect/layers', { id: 'starter-csv', model: 'starter' });
    await until('the file is written', async () =>
      (await readFile(file, 'utf8').catch(() => '')).endsWith('\n'),
    );
    expect(await readFile(file, 'utf8')).toBe(layersCsv(result));
  } finally {
    await client.close();
  }
});

test('jobs show with their progress, the curve with its losses', async () => {
  const { webview } = workbench();
  const client = await workbench().client();
  try {
    const job = await client.request('job/start', {
      kind: 'distill',
      teacher: starterTeacher,
      data: [join(import.meta.dirname, '..', '..', 'extension')],
      output: join(workbench().folders.workspace, 'student'),
      steps: 4,
    });
    await webview.getByRole('tab', { name: 'Runs' }).click();
    const card = webview.locator(`li.job[data-job="${job.id}"]`);
    await card.waitFor();
    await until('it has ended', async () => {
      const jobs = await client.request('job/list', {});
      return jobs.some(({ id, state }) => id === job.id && state === 'done');
    });
    await card.getByText('Done').waitFor();
    const { metrics } = await client.request('job/metrics', { id: job.id });
    const last = metrics.at(-1);
    expect(last?.step).toBe(4);
    await webview.locator('.section-curve canvas').first().waitFor();
    await webview.locator('.curve-step', { hasText: 'Step 4' }).waitFor();
    const shown = (name: string): Locator =>
      webview.locator('.curve-key', { hasText: name }).locator('.curve-value');
    await expectFigure(shown('Loss'), last?.loss ?? NaN);
    await expectFigure(shown('KL'), last?.kl ?? NaN);
    await expectFigure(shown('Hidden'), last?.hidden ?? NaN);
  } finally {
    await client.close();
  }
  await webview.locator('.section-jobs').scrollIntoViewIfNeeded();
  await workbench().picture('panel-3-jobs');
});
