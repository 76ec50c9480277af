import { expect, test } from 'vitest';
import { BackOff } from '../../../extension/server-link/back-off.ts';

test('waits twice as long after each failure, up to a minute, and starts over after a success', () => {
  let now = 0;
  const backOff = new BackOff(() => now);
  expect(backOff.waiting).toBe(false);
  const waits = Array.from({ length: 8 }, () => {
    backOff.failed();
    return backOff.remainingMs;
  });
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  expect(backOff.waiting).toBe(true);
  now = 59_999;
  expect(backOff.waiting).toBe(true);
  now = 60_000;
  expect(backOff.waiting).toBe(false);
  backOff.succeeded();
  expect(backOff.count).toBe(0);
  expect(backOff.waiting).toBe(false);
  backOff.failed();
  expect(backOff.remainingMs).toBe(1000);
});
