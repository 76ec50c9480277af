import { formatDuration } from '../../../server/protocol/duration.ts';
import { describe, expect, it } from 'vitest';
import {
  baseName,
  formatBytes,
  formatCount,
  formatLoss,
  formatPercent,
  formatRatio,
  formatStatistic,
} from '../../../webview/page/format.ts';

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [4096, '4.10 kB'],
    [2_884_096, '2.88 MB'],
    [809_500_672, '810 MB'],
    [999_499_999, '999 MB'],
    // Not "1000 MB".
    [999_600_000, '1.00 GB'],
    [1_350_000_000, '1.35 GB'],
    [13_476_831_232, '13.5 GB'],
    [9_995_000, '10.0 MB'],
    [3.2e15, '3200 TB'],
    [NaN, '–'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [512, '512'],
    [264_000, '264 K'],
    [6_738_415_616, '6.74 B'],
  ])('%d parameters are %s', (count, text) => expect(formatCount(count)).toBe(text));
});

describe('times', () => {
  it.each([
    [0, '0 s'],
    [59.4, '59 s'],
    [59.6, '1 min'],
    [146, '2 min 26 s'],
    [3599, '59 min 59 s'],
    [3600, '1 h 00 min'],
    // Not "1 h 60 min".
    [7199, '2 h 00 min'],
    [7500, '2 h 05 min'],
    [90_000, '1 d 1 h'],
    // Not "1 d 24 h".
    [172_700, '2 d 0 h'],
    [-1, '–'],
    [Infinity, '–'],
  ])('%d s are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));
});

describe('figures', () => {
  it('shares', () => {
    expect(formatPercent(0.50213, 2)).toBe('50.21%');
    expect(formatPercent(0.535, 0)).toBe('54%');
  });

  it.each([
    [16, '16×'],
    [10.058, '10.1×'],
    [1, '1×'],
    [12_345, '12,345×'],
    [0, '–'],
    [Infinity, '–'],
  ])('%d times is %s', (ratio, text) => expect(formatRatio(ratio)).toBe(text));

  it.each([
    [0, '0'],
    [0.0123456, '0.01235'],
    [-0.00003, '-3.00e-5'],
    [12.3456, '12.35'],
    [NaN, '–'],
  ])('the statistic %d is %s', (value, text) => expect(formatStatistic(value)).toBe(text));

  it('losses and perplexities', () => {
    expect(formatLoss(1.3447)).toBe('1.345');
    expect(formatLoss(5010.4)).toBe('5,010');
  });

  it('names of folders, on any system', () => {
    expect(baseName('/home/ada/models/llama/')).toBe('llama');
    expect(baseName('C:\\models\\llama')).toBe('llama');
    expect(baseName('starter')).toBe('starter');
  });
});
