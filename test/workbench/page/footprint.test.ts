import { describe, expect, test } from 'vitest';
import { memory, full } from './panel-fixture.ts';
import { cells, places, texts, usePanel } from './use-panel.ts';

const panel = usePanel();

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
    const before = await places(page, 'section, .figure, .parts tr');
    await send({
      type: 'memory',
      memory: { ...memory, process: { ...memory.process, rssBytes: 2_499_000_000 } },
    });
    expect(await page.locator('.figure', { hasText: 'Server process' }).innerText()).toContain('2.50 GB');
    expect(await places(page, 'section, .figure, .parts tr')).toEqual(before);
  });
});
