import { expect, it } from 'vitest';
import { mostReadings, withReading, type MemoryReading } from '../../../server/protocol/memory-readings.ts';
import { memoryLines } from '../../../webview/footprint/memory-chart.ts';
import { contextChoices, planWords } from '../../../webview/footprint/plan-text.ts';

const process = { rssBytes: 5, heapBytes: 1, uptimeSeconds: 1 };
const none = { process, model: { state: 'none' as const, active: 0, queued: 0 } };

it('keeps as many readings as a chart shows, the newest', () => {
  let readings: MemoryReading[] = [];
  for (let at = 0; at < mostReadings + 5; at++) readings = withReading(readings, none, at);
  expect(readings).toHaveLength(mostReadings);
  expect([readings[0]?.at, readings.at(-1)]).toEqual([5, { at: mostReadings + 4, ramBytes: 5, gpuBytes: 0 }]);
});

it('draws nothing of no readings, and one reading as a line', () => {
  expect(memoryLines([])).toMatchObject({ ram: '', gpu: '', words: 'No readings yet.' });
  const one = memoryLines([{ at: 7, ramBytes: 100, gpuBytes: 0 }]);
  expect(one).toMatchObject({ ram: 'M0.0 1.0H600', gpu: '', onGpu: false });
});

it('spreads readings of one and the same millisecond over the width', () => {
  const at = (ramBytes: number) => ({ at: 7, ramBytes, gpuBytes: 0 });
  expect(memoryLines([at(50), at(100)]).ram).toBe('M0.0 24.0L600.0 1.0');
});

it('offers the lengths in use beside powers of two, and says the difference', () => {
  const plan = { contextLength: 3000, maxPositions: 2048, parts: [], nowBytes: 3e9, plannedBytes: 2e9 };
  expect(contextChoices(plan, 700)).toEqual([256, 512, 700, 1024, 2048, 3000]);
  expect(planWords(plan)).toBe('3.00 GB as loaded, with every KV cache full; 2.00 GB then: 1.00 GB less.');
});
