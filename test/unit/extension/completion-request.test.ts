import { describe, expect, test, vi } from 'vitest';
import { restOf } from '../../../extension/completion/last-answer.ts';
import { asksOneLine, worthCompleting } from '../../../extension/completion/line-choice.ts';
import { Debounce, pause } from '../../../extension/completion/pause.ts';
import { splitTrailingSpace, withoutLeadingSpace } from '../../../extension/completion/trailing-space.ts';
import { fromWholeLine, prefixStart, windowLimits } from '../../../extension/completion/prompt-window.ts';

describe('one line or several', () => {
  test.each([
    ['const a = ', '', true],
    ['call(', ')', true],
    ['', '', false],
    ['    ', '', false],
    ['function f() {', '', false],
    ['def f():', '', false],
    ['const f = () =>', '', false],
    ['if x then', '', false],
    ['  ', 'return 1;', true],
  ])('%j before, %j after: one line %j', (before, after, expected) =>
    expect(asksOneLine(before, after)).toBe(expected),
  );

  test.each([
    ['fo', 'o', false, false],
    ['fo', '(', true, true],
    ['fo ', 'o', true, true],
    ['', 'word', true, true],
    ['größ', 'e', false, false],
    ['return total;', '', false, true],
    ['  }', '', false, true],
    ['for (let i = 0;', ')', true, true],
    ['', '', true, true],
  ])('%j|%j is worth completing: %j, when asked for: %j', (before, after, expected, asked) => {
    expect(worthCompleting(before, after, false)).toBe(expected);
    expect(worthCompleting(before, after, true)).toBe(asked);
  });
});

describe('a space before the cursor', () => {
  test.each([
    ['return ', 'return', ' '],
    ['a =\t ', 'a =', '\t '],
    ['f() {\n  ', 'f() {\n  ', ''],
    ['  ', '  ', ''],
    ['x', 'x', ''],
    ['', '', ''],
  ])('%j is asked for as %j', (text, prefix, space) =>
    expect(splitTrailingSpace(text)).toEqual({ prefix, space }),
  );

  test.each([
    [' total;', ' ', 'total;'],
    ['  two', ' ', ' two'],
    [';', ' ', ';'],
    [' one', '  ', 'one'],
    [' kept', '', ' kept'],
  ])('%j after %j inserts %j', (text, space, inserted) =>
    expect(withoutLeadingSpace(text, space)).toBe(inserted),
  );
});

describe('the window of text', () => {
  test('short text goes whole', () => expect(prefixStart(900, 1000)).toBe(0));

  test('the start moves in steps, stays within the limit and leaves at least three quarters of it', () => {
    const starts = new Set<number>();
    for (let offset = 1001; offset <= 3000; offset++) {
      const start = prefixStart(offset, 1000);
      starts.add(start);
      expect(offset - start).toBeLessThanOrEqual(1000);
      expect(offset - start).toBeGreaterThan(750);
    }
    expect(starts.size).toBe(8);
  });

  test('a cut prefix begins with a whole line', () => {
    expect(fromWholeLine('lf a line\nwhole\nhere', true)).toBe('whole\nhere');
    expect(fromWholeLine('first\nhere', false)).toBe('first\nhere');
    expect(fromWholeLine('one very long line', true)).toBe('one very long line');
  });

  test('limits follow the context and have bounds', () => {
    expect(windowLimits(1024)).toEqual({ prefix: 3072, suffix: 1024 });
    expect(windowLimits(1_000_000).prefix).toBe(49_152);
    expect(windowLimits(1).prefix).toBe(768);
  });
});

describe('typing what the ghost text says', () => {
  const answer = {
    document: 'file:///a.ts',
    offset: 10,
    lineBefore: 'const a = ',
    lineAfter: '',
    text: 'b + c;',
  };
  const here = (typed: string, more: object = {}) => ({
    document: 'file:///a.ts',
    offset: 10 + typed.length,
    lineBefore: `const a = ${typed}`,
    lineAfter: '',
    ...more,
  });

  test('what is left is shown', () => {
    expect(restOf(answer, here(''))).toBe('b + c;');
    expect(restOf(answer, here('b +'))).toBe(' c;');
  });

  test('anything else asks anew', () => {
    expect(restOf(answer, here('x'))).toBeUndefined();
    expect(restOf(answer, here('b + c;'))).toBeUndefined();
    expect(restOf(answer, here('b', { document: 'file:///b.ts' }))).toBeUndefined();
    expect(restOf(answer, here('b', { lineAfter: ')' }))).toBeUndefined();
    expect(restOf(answer, { ...here(''), offset: 9 })).toBeUndefined();
    expect(restOf(undefined, here(''))).toBeUndefined();
  });
});

describe('the pause before a request', () => {
  test('ends early, with false, when the signal fires', async () => {
    vi.useFakeTimers();
    try {
      const controller = new AbortController();
      const cancelled = pause(1000, controller.signal);
      controller.abort();
      expect(await cancelled).toBe(false);
      expect(vi.getTimerCount()).toBe(0);
      expect(await pause(1000, controller.signal)).toBe(false);
      const whole = pause(1000, new AbortController().signal);
      await vi.advanceTimersByTimeAsync(1000);
      expect(await whole).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  test('grows while answers are slow, within bounds, and shrinks again', () => {
    const debounce = new Debounce();
    expect(debounce.delay(150)).toBe(150);
    for (let i = 0; i < 7; i++) debounce.answered(800);
    expect(debounce.delay(150)).toBe(400);
    for (let i = 0; i < 7; i++) debounce.answered(60_000);
    expect(debounce.delay(150)).toBe(1000);
    for (let i = 0; i < 7; i++) debounce.answered(50);
    expect(debounce.delay(150)).toBe(150);
  });
});
