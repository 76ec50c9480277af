import { describe, expect, test } from 'vitest';
import type { MemoryPlan } from '../../../server/protocol/memory.ts';
import type { ToPanel } from '../../../server/protocol/panel.ts';
import { violations } from './axe.ts';
import { full, llamaReport, memory } from './panel-fixture.ts';
import { cells, places, texts, usePanel } from './use-panel.ts';

const panel = usePanel();

const nowBytes = llamaReport.parts.reduce((sum, { bytes }) => sum + bytes, 0);
const plan: MemoryPlan = {
  contextLength: 4096,
  headBits: 16,
  maxPositions: 4096,
  parts: llamaReport.parts.map(({ part, place, bytes }) => ({
    part,
    place,
    nowBytes: bytes,
    plannedBytes: part === 'kv-cache' ? 2 * bytes : bytes,
    ...(part === 'kv-cache' ? { how: '2 × 32 layers × 4096 × 4096 tokens × 2 bytes' } : {}),
  })),
  nowBytes,
  plannedBytes: nowBytes + llamaReport.kvCacheBytes,
};

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
      (await texts(page, '.figure:visible')).map((text) => {
        const [label, ...rest] = text.replaceAll('\u00a0', ' ').split('\n').filter(Boolean);
        return [label, rest.join(' | ')];
      }),
    );
    expect(figures).toEqual({
      Model: '1.34 GB | 13.5 GB in fp16, 10.1× as much',
      'Bits per linear weight': '1.01 | 1.59 over the whole model',
      'KV cache': '1.07 GB | 2,048 tokens of context',
      'In RAM': '2.43 GB | all parts',
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
    const before = await places(page, 'section, .figure, .parts tr');
    await send({
      type: 'memory',
      memory: { ...memory, process: { ...memory.process, rssBytes: 2_499_000_000 } },
    });
    expect(await page.locator('.figure', { hasText: 'Server process' }).innerText()).toContain('2.50 GB');
    expect(await places(page, 'section, .figure, .parts tr')).toEqual(before);
  });

  test('says which memory holds what, and draws both over time', async () => {
    const onGpu = (bytes: number, rssBytes: number): ToPanel => ({
      type: 'memory',
      memory: {
        process: { ...memory.process, rssBytes },
        model: {
          ...memory.model,
          memory: {
            ...llamaReport,
            parts: llamaReport.parts.map((part) =>
              part.part === 'embedding'
                ? part
                : { ...part, place: 'gpu', bytes: part.part === 'signs' ? bytes : part.bytes },
            ),
          },
        },
      },
    });
    const { page, send } = await panel(full);
    await send(onGpu(809_500_672, 1e9), onGpu(909_500_672, 2e9));
    expect(await page.locator('.figure', { hasText: 'In RAM' }).innerText()).toContain('262 MB');
    expect(await page.locator('.figure', { hasText: 'In GPU memory' }).innerText()).toContain('2.27 GB');
    expect(await page.locator('.memory-chart').getAttribute('aria-label')).toMatch(
      /^Memory over the last \d+ s: Server process 2\.00 GB now, 1\.00 GB to 2\.00 GB; GPU memory 2\.27 GB now, 2\.17 GB to 2\.27 GB\.$/,
    );
    const drawn = await page.locator('.memory-gpu').getAttribute('d');
    // On the scale of 2.27 GB, the largest of both lines: the last reading is at the top of the 48 units.
    expect(drawn).toMatch(/L600\.0 1\.0$/);
  });

  test('asks what another context would take only when that is opened, and keeps the question', async () => {
    const { page, posted, send, kept } = await panel(full);
    expect(await posted()).toEqual([{ type: 'ready' }]);
    await page.getByText('With another context or head').click();
    await expect.poll(async () => (await posted()).at(-1)).toEqual({ type: 'planMemory', params: {} });
    await send({ type: 'plan', plan });
    expect(await texts(page, '[data-plan="kv-cache"]')).toEqual([
      ['KV cache', '1.07 GB', '2.15 GB', '2 × 32 layers × 4096 × 4096 tokens × 2 bytes'].join('\t'),
    ]);
    expect(await page.locator('.plan-words').innerText()).toBe(
      '2.43 GB as loaded, with every KV cache full; 3.51 GB then: 1.07 GB more.',
    );
    expect(await violations(page)).toEqual([]);
    await page.getByRole('combobox', { name: 'Context length' }).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await expect
      .poll(async () => (await posted()).at(-1))
      .toEqual({ type: 'planMemory', params: { contextLength: 256 } });
    const again = await panel(full, { kept: await kept() });
    await expect
      .poll(() => again.posted())
      .toContainEqual({ type: 'planMemory', params: { contextLength: 256 } });
    await send({ type: 'plan', error: 'The model was unloaded.' });
    expect(await page.locator('.plan-words').innerText()).toBe('The model was unloaded.');
  });
});
