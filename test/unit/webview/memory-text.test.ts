import { expect, test } from 'vitest';
import type { MemoryReport } from '../../../server/protocol/memory.ts';
import { deviceNotes } from '../../../webview/footprint/memory-text.ts';

const report = (
  device: Partial<MemoryReport['device']>,
  parts: Partial<MemoryReport['parts'][number]>[],
): MemoryReport => ({
  device: { kind: 'cpu', name: 'CPU', path: 'avx512', ...device },
  parts: parts.map((part) => ({ part: 'signs', place: 'ram', bytes: 0, fp16Bytes: 0, ...part })),
  modelBytes: 0,
  fp16ModelBytes: 0,
  bitsPerLinearWeight: 1,
  linearWeights: 1,
  kvCacheBytes: 0,
  kvElementBytes: 2,
  contextLength: 64,
});

test('a CPU that was asked for needs no words', () =>
  expect(deviceNotes(report({}, [{ bytes: 5 }]))).toEqual([]));

test('the reason is said, once with its full stop', () => {
  expect(deviceNotes(report({ reason: 'auto: there is no GPU here' }, []))).toEqual([
    'On the CPU: auto: there is no GPU here.',
  ]);
  expect(deviceNotes(report({ reason: 'moved from Card: it was lost.' }, []))).toEqual([
    'On the CPU: moved from Card: it was lost.',
  ]);
});

test('planned and measured memory of a GPU stand side by side', () =>
  expect(
    deviceNotes(
      report({ kind: 'gpu', reason: 'asked for with gpu' }, [
        { bytes: 810e6, plannedBytes: 809.5e6 },
        { part: 'kv-cache', bytes: 400e6, plannedBytes: 400e6 },
      ]),
    )[1],
  ).toBe('1.21 GB of GPU memory in buffers now, 1.21 GB planned before the load.'));
