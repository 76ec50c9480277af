import { describe, expect, test, vi } from 'vitest';
import {
  advanced,
  lineAfter,
  lineBefore,
  linesAbove,
  linesBelow,
} from '../../../../extension/completion/cursor.ts';
import { Debounce } from '../../../../extension/completion/debounce.ts';
import { asksOneLine } from '../../../../extension/completion/line-choice.ts';
import { pause } from '../../../../extension/completion/pause.ts';
import { refusal } from '../../../../extension/completion/prefilter.ts';
import { alternativeRequest, requestFor } from '../../../../extension/completion/request.ts';
import { scopeAtEnd } from '../../../../extension/completion/syntax-scope.ts';
import { fromWholeLine, windowLimits, windowStart } from '../../../../extension/completion/text-window.ts';
import { cursorAt } from './cursor-at.ts';

describe('a cursor', () => {
  const cursor = cursorAt('one\n  two|three\nfour\n\nfive');
  test('knows its lines', () => {
    expect([lineBefore(cursor), lineAfter(cursor)]).toEqual(['  two', 'three']);
    expect(linesAbove(cursor, 3)).toEqual(['one']);
    expect(linesBelow(cursor, 2)).toEqual(['four', '']);
    expect(linesBelow(cursor, 9)).toEqual(['four', '', 'five']);
  });
  test('moves on with what is inserted', () =>
    expect(advanced(cursor, 'x\ny')).toEqual(cursorAt('one\n  twox\ny|three\nfour\n\nfive')));
});

describe('the prefilter', () => {
  const ask = (source: string, change: object = {}) =>
    refusal({
      cursor: cursorAt(source, 'language' in change ? { language: String(change.language) } : {}),
      ...{ asked: false, on: true, selecting: false, suggesting: false, inComments: true },
      ...change,
    });

  test.each([
    ['fo|o', {}, 'inside a word'],
    ['größ|e', {}, 'inside a word'],
    ['fo|o', { asked: true }, 'inside a word'],
    ['fo|(', {}, undefined],
    ['fo |o', {}, undefined],
    ['return total;|', {}, 'finished'],
    ['return total;|', { asked: true }, undefined],
    ['  }|\n', {}, 'finished'],
    ['for (let i = 0;|', {}, undefined],
    ['call(a); |', {}, 'finished'],
    ['for (let i = 0;|)', {}, undefined],
    ['|', {}, undefined],
    ['a = |', { on: false, asked: true }, 'off'],
    ['a = |', { selecting: true, asked: true }, 'selection'],
    ['a = |', { suggesting: true }, 'suggestions'],
    ['a = |', { suggesting: true, asked: true }, undefined],
    ['// a comment |', {}, undefined],
    ['// a comment |', { inComments: false }, 'comment'],
    ['// a comment |', { inComments: false, asked: true }, undefined],
    ['// a comment\n|', { inComments: false }, undefined],
    ['# a comment |', { inComments: false, language: 'python' }, 'comment'],
  ])('%j with %j: %j', (source, change, expected) => expect(ask(source, change)).toBe(expected));
});

describe('code, comment or string', () => {
  test.each([
    ['a = b', 'typescript', 'code'],
    ['a // b', 'typescript', 'comment'],
    ['a // b\n', 'typescript', 'code'],
    ['/* a\n * b', 'typescript', 'comment'],
    ['/* a */ b', 'typescript', 'code'],
    ['"// a" + b', 'typescript', 'code'],
    ['x = "a', 'typescript', 'string'],
    ['x = "a\n', 'typescript', 'code'],
    ['x = "a\\"b', 'typescript', 'string'],
    ['x = `a\nb', 'typescript', 'string'],
    ["it's // not", 'plaintext', 'code'],
    ['see https://a.b/c', 'unknown', 'code'],
    ['x = 1 # why', 'python', 'comment'],
    ['x = """a\nb', 'python', 'string'],
    ['echo $# more', 'shellscript', 'code'],
    ['<p> <!-- a', 'html', 'comment'],
    ['select 1 -- why', 'sql', 'comment'],
    ["fn f<'a>(x: &'a str) {", 'rust', 'code'],
  ])('%j in %s ends in %s', (text, language, scope) => expect(scopeAtEnd(text, language)).toBe(scope));
});

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
  test('in a comment, one', () => expect(asksOneLine('', '', 'comment')).toBe(true));
});

describe('the window of text', () => {
  test('short text goes whole', () => expect(windowStart(900, 1000)).toBe(0));

  test('the start moves in steps, stays within the limit and leaves at least three quarters of it', () => {
    const starts = new Set<number>();
    for (let offset = 1001; offset <= 3000; offset++) {
      const start = windowStart(offset, 1000);
      starts.add(start);
      expect(offset - start).toBeLessThanOrEqual(1000);
      expect(offset - start).toBeGreaterThan(750);
    }
    expect(starts.size).toBe(8);
  });

  test('cut text begins with a whole line', () => {
    expect(fromWholeLine('lf a line\nwhole\nhere', true)).toBe('whole\nhere');
    expect(fromWholeLine('first\nhere', false)).toBe('first\nhere');
    expect(fromWholeLine('one very long line', true)).toBe('one very long line');
  });

  test('limits follow the context and have bounds', () => {
    expect(windowLimits(1024)).toEqual({ before: 6144, after: 2048 });
    expect(windowLimits(1_000_000)).toEqual(windowLimits(16_384));
    expect(windowLimits(1)).toEqual(windowLimits(256));
  });
});

describe('the request', () => {
  const options = { singleLine: true, maxTokens: 9 };
  test('has what the server needs', () =>
    expect(requestFor(cursorAt('a = |\nb'), [{ path: 'c.ts', text: 'c' }], options)).toEqual({
      prefix: 'a = ',
      suffix: '\nb',
      language: 'typescript',
      path: 'a.ts',
      extra: [{ path: 'c.ts', text: 'c' }],
      maxTokens: 9,
      singleLine: true,
    }));
  test('continues where only white space follows', () =>
    expect(requestFor(cursorAt('a|\n \n'), [], options).suffix).toBe(''));
  test('samples for alternatives, each in its own way', () => {
    const request = requestFor(cursorAt('a|'), [], options);
    expect(alternativeRequest(request, 3)).toMatchObject({ prefix: 'a', seed: 3 });
    expect(alternativeRequest(request, 3).temperature).toBeGreaterThan(0);
  });
});

describe('the wait before a request', () => {
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

  const typing = (interval: number, latency: number): Debounce => {
    const debounce = new Debounce();
    for (let key = 0; key < 12; key++) debounce.typed(5000 + key * interval);
    for (let answer = 0; answer < 9; answer++) debounce.answered(latency);
    return debounce;
  };

  test('is what the settings say while answers are quick', () => {
    expect(new Debounce().delay(75)).toBe(75);
    expect(typing(120, 25).delay(75)).toBe(75);
  });

  test('lasts until typing pauses where answers would keep the machine busy', () => {
    expect(typing(120, 100).delay(75)).toBe(150);
    expect(typing(300, 200).delay(75)).toBe(375);
  });

  test('grows with slow answers, up to a second, and shrinks again', () => {
    expect(typing(120, 800).delay(75)).toBe(400);
    const debounce = typing(120, 60_000);
    expect(debounce.delay(75)).toBe(1000);
    for (let answer = 0; answer < 9; answer++) debounce.answered(20);
    expect(debounce.delay(75)).toBe(75);
  });

  test('does not take a rest for slow typing', () => {
    const debounce = typing(120, 100);
    debounce.typed(60_000);
    expect(debounce.delay(75)).toBe(150);
  });
});
