import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import { inspectMatrix } from '../../../server/inspect/matrix.ts';
import type { InspectMatrixResult } from '../../../server/protocol/inspect.ts';
import { matrixCsv } from '../../../server/protocol/matrix-csv.ts';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { starterStudent, starterTeacher } from '../harness/places.ts';
import { answerAsks } from './answer-asks.ts';
import { violations } from './axe.ts';
import { full } from './panel-fixture.ts';
import { pictures, usePanel } from './use-panel.ts';
import type { ThemeName } from './webview-page.ts';

/** What is known of one matrix of the shipped model, with the server's own code behind the page. */

const open = usePanel();
const name = 'model.layers.1.mlp.down_proj';
let snapshot: PanelSnapshot = full;
let matrix: InspectMatrixResult;

beforeAll(async () => {
  snapshot = { ...full, layers: await inspectLayers(starterStudent, { teacher: starterTeacher }) };
  matrix = await inspectMatrix(starterStudent, name, { teacher: starterTeacher, spectrum: 16 });
});

const show = async (options: Parameters<typeof open>[1] = {}) => {
  const made = await open(
    { ...full, layers: undefined },
    { kept: { tab: 'layers', matrix: name }, ...options },
  );
  await answerAsks(made.page);
  await made.send({ type: 'snapshot', snapshot });
  return made;
};

const chart = (page: Page, title: string) => page.getByRole('slider', { name: new RegExp(`^${title}`) });
const said = (page: Page, title: string) => chart(page, title).getAttribute('aria-valuetext');
const four = (value: number | undefined) => value?.toPrecision(4) ?? '?';
const rows = (page: Page, caption: string) =>
  page
    .getByRole('table', { name: caption })
    .locator('tbody tr')
    .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));

describe('a matrix', () => {
  test('has g and h along its sides, walked value by value', async () => {
    const { page } = await show();
    await expect.poll(() => said(page, 'g along the columns')).toContain('…');
    for (const [title, values, one] of [
      ['g along the columns', matrix.g.profile.values, 'column'],
      ['h along the rows', matrix.h.profile.values, 'row'],
    ] as const) {
      await chart(page, title).focus();
      for (const [key, index] of [
        ['Home', 0],
        ['ArrowRight', 1],
        ['End', values.length - 1],
      ] as const) {
        await page.keyboard.press(key);
        await expect.poll(() => said(page, title)).toBe(`${one} ${index}: ${four(values[index])}`);
      }
    }
    expect(matrix.g.profile.values).toHaveLength(matrix.g.profile.length);
  });

  test('has the distributions of g and h, linear and logarithmic, and stays with the choice', async () => {
    const { page, kept } = await show();
    await expect.poll(() => said(page, 'Values of g')).toContain('most at');
    const { linear, log } = matrix.g;
    await chart(page, 'Values of g').focus();
    await page.keyboard.press('Home');
    const bin = (edges: number[], count: number | undefined) =>
      `${four(edges[0])} … ${four(edges[1])}: ${count} (`;
    await expect.poll(() => said(page, 'Values of g')).toContain(bin(linear.edges, linear.counts[0]));
    await page.getByRole('checkbox', { name: 'Distributions on log scale' }).click();
    await chart(page, 'Sizes of g, log scale').focus();
    await page.keyboard.press('Home');
    await expect.poll(() => said(page, 'Sizes of g, log scale')).toContain(bin(log.edges, log.counts[0]));
    const again = await show({ kept: await kept() });
    await chart(again.page, 'Sizes of h, log scale').waitFor();
  });

  test('has its largest values', async () => {
    const { page } = await show();
    const extremes = (values: InspectMatrixResult['g']) =>
      values.extremes.map(({ index, value }) => [index.toLocaleString('en-US'), four(value)]);
    await expect.poll(() => rows(page, 'Largest |g|')).toEqual(extremes(matrix.g));
    expect(await rows(page, 'Largest |h|')).toEqual(extremes(matrix.h));
    // The shipped model has none.
    await page.getByText('over four times the median: none.').waitFor();
  });

  test('has its outlier inputs, with the matrices that share them', async () => {
    const others = [2, 3].map((layer) => `model.layers.${layer}.mlp.down_proj`);
    const recurringOutliers = [{ columns: 608, channel: 7, matrices: [name, ...others] }];
    const { page, send } = await open(
      { ...full, layers: undefined },
      { kept: { tab: 'layers', matrix: name } },
    );
    await answerAsks(page, (one) => {
      const outlierInputs = [7, 450].map((channel) => ({ channel, ratio: channel === 7 ? 9.5 : 4.2 }));
      return { ...one, statistics: { ...one.statistics, outlierInputs } };
    });
    const layers = snapshot.layers && { ...snapshot.layers, recurringOutliers };
    await send({ type: 'snapshot', snapshot: { ...snapshot, layers } });
    await expect
      .poll(() => rows(page, 'Outlier inputs: columns'))
      .toEqual([
        ['7', '9.5×', 'layers.2.mlp.down_proj, layers.3.mlp.down_proj'],
        ['450', '4.2×', 'no other'],
      ]);
  });

  test('is compared with its teacher: the figures, and the spectrum beyond the first value', async () => {
    const { page } = await show();
    const title = 'Singular values of the teacher’s .W. beyond the first';
    await expect.poll(() => said(page, title)).toContain(`σ₁ ${four(matrix.spectrum?.[0])}`);
    await chart(page, title).focus();
    await page.keyboard.press('End');
    await expect.poll(() => said(page, title)).toBe(`σ₁₆: ${four(matrix.spectrum?.[15])} ‖W‖`);
    const figures = page.locator('.matrix-figures');
    expect(await figures.innerText()).toContain(`Error\n${four(matrix.statistics.teacher?.relativeError)}`);
    expect(await figures.innerText()).toContain(`Cosine\n${four(matrix.statistics.teacher?.cosine)}`);
  });

  test('can be saved: values as CSV and JSON, charts as SVG and PNG, the picture of the signs', async () => {
    const { page, posted } = await show();
    await expect.poll(() => said(page, 'Singular values')).toContain('σ₁');
    for (const kind of ['CSV', 'JSON', 'SVG', 'PNG']) {
      await page.getByRole('button', { name: `${kind}…: save the values of the matrix` }).click();
    }
    for (const kind of ['SVG', 'PNG']) {
      await page.getByRole('button', { name: `${kind}…: save the picture of signs` }).click();
    }
    const saved = new Map(
      (await posted()).flatMap((message) =>
        message.type === 'saveText' || message.type === 'savePicture'
          ? [[message.name, message.content]]
          : [],
      ),
    );
    const stem = 'layers.1.mlp.down_proj';
    expect([...saved.keys()]).toEqual([
      ...['csv', 'json', 'svg', 'png'].map((ending) => `${stem}.${ending}`),
      ...['svg', 'png'].map((ending) => `${stem}-signs.${ending}`),
    ]);
    expect(saved.get(`${stem}.csv`)).toBe(matrixCsv(matrix));
    expect(JSON.parse(saved.get(`${stem}.json`) ?? '')).toEqual(matrix);
    expect(saved.get(`${stem}.svg`)?.match(/<path /g)).toHaveLength(7);
    for (const name of [stem, `${stem}-signs`]) {
      const file = Buffer.from(saved.get(`${name}.png`) ?? '', 'base64');
      expect(file.subarray(1, 4).toString()).toBe('PNG');
      writeFileSync(join(pictures, `saved-${name}.png`), file);
    }
  });

  test('says when it cannot be read', async () => {
    const broken = snapshot.layers && { ...snapshot.layers, model: '/nowhere/at/all' };
    const { page, send } = await show();
    await send({ type: 'snapshot', snapshot: { ...snapshot, layers: broken } });
    await page.getByText('/nowhere/at/all').first().waitFor();
  });
});

describe.each(['dark', 'light', 'hc-black', 'hc-light'] satisfies ThemeName[])('in the theme %s', (theme) => {
  test.each([400, 1280])('it has room at %d px, and no rule of accessibility is broken', async (width) => {
    const { page } = await show({ theme, width });
    await expect.poll(() => said(page, 'Singular values')).toContain('σ₁');
    await page.screenshot({ path: join(pictures, `matrix-${theme}-${width}.png`), fullPage: true });
    const { content, window } = await page.evaluate(() => ({
      content: document.documentElement.scrollWidth,
      window: document.documentElement.clientWidth,
    }));
    expect(content).toBeLessThanOrEqual(window);
    expect(await violations(page)).toEqual([]);
  });
});
