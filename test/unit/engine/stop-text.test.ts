import { describe, expect, test } from 'vitest';
import { StopText } from '../../../server/engine/stop-text.ts';

/** Feeds a text in pieces of n characters and returns what was shown piece by piece. */
function feed(stop: StopText, text: string, n: number): string[] {
  const shown: string[] = [];
  for (let i = 0; i < text.length && !stop.stopped; i += n) shown.push(stop.push(text.slice(i, i + n)));
  shown.push(stop.end());
  return shown;
}

describe('stop text', () => {
  test.each([1, 2, 3, 7, 100])('no part of a stop string is ever shown (pieces of %i)', (n) => {
    expect(feed(new StopText(['<end>', 'END'], false), 'a <en b <end> c', n).join('')).toBe('a <en b ');
  });

  test('the earliest of several stops counts', () => {
    expect(feed(new StopText(['three', 'two'], false), 'one two three', 100).join('')).toBe('one ');
  });

  test('what might have become a stop is shown at the end', () => {
    expect(feed(new StopText(['</s>'], false), 'x </s', 1).join('')).toBe('x </s');
  });

  test.each([1, 2, 5, 50])('single line: stops at the line end after the first text (pieces of %i)', (n) => {
    expect(feed(new StopText([], true), '\n  return x;\r\nnext', n).join('')).toBe('\n  return x;');
    expect(feed(new StopText([], true), 'a\nb', n).join('')).toBe('a');
  });

  test.each([1, 2, 5, 50])(
    'stops before a line that is indented less; blank lines do not count (pieces of %i)',
    (n) => {
      const indent = (least: number) => new StopText(['stop'], false, least);
      expect(feed(indent(2), 'if {\n  a;\n\n\tb\n    c;\n\n}\nd', n).join('')).toBe('if {\n  a;');
      expect(feed(indent(2), 'if {\n  a;\n\n   b;\r\n\r\n}\nd', n).join('')).toBe('if {\n  a;\n\n   b;');
      expect(feed(indent(2), 'a\n  b\n \n', n).join('')).toBe('a\n  b\n \n');
      const word = indent(1);
      expect(feed(word, 'a stop\nb', n).join('')).toBe('a ');
      expect(word.stoppedBy).toBe('stop');
      const line = indent(1);
      feed(line, 'a\nb', n);
      expect([line.stopped, line.stoppedBy]).toEqual([true, '']);
    },
  );

  test('text without any stop passes through at once', () => {
    expect(new StopText(['zzz'], false).push('hello')).toBe('hello');
  });
});
