import { describe, expect, test } from 'vitest';
import { advanced } from '../../../../extension/completion/cursor.ts';
import { RecentResults } from '../../../../extension/completion/recent-results.ts';
import { placeOf, typedSince } from '../../../../extension/completion/typed-since.ts';
import { cursorAt } from './cursor-at.ts';

describe('what was typed since', () => {
  const from = cursorAt('const a = |\nrest');
  test.each([
    ['const a = |\nrest', ''],
    ['const a = b.|\nrest', 'b.'],
    ['const a = [\n  1,|\nrest', '[\n  1,'],
    ['const a = f(|)\nrest', 'f('],
    ['const a = |x\nrest', undefined],
    ['const a =|\nrest', undefined],
    ['const b = |\nrest', undefined],
    ['let   b = c|\nrest', undefined],
    ['const a = b|\nother', undefined],
  ])('in %j: %j', (source, typed) => expect(typedSince(from, cursorAt(source))).toBe(typed));

  test('in another document: nothing', () =>
    expect(typedSince(from, cursorAt('const a = |\nrest', { document: 'file:///b.ts' }))).toBeUndefined());

  test('is known although the window of a long document has moved on', () => {
    const text = Array.from({ length: 500 }, (_, line) => `line ${line}\n`).join('');
    const early = { ...cursorAt('|'), before: text.slice(1000), offset: text.length };
    const late = { ...early, before: `${text}abc`.slice(3000), offset: text.length + 3 };
    expect(typedSince(placeOf(early), late)).toBe('abc');
  });
});

describe('recent results', () => {
  const place = cursorAt('const a = |\nrest');
  const filled = (texts = ['first(x)', 'second']) => {
    const recent = new RecentResults(3);
    recent.add(place, { texts, explored: false });
    return recent;
  };

  test('serve where they were made, and while they are typed', () => {
    const recent = filled();
    expect(recent.find(place)?.texts).toEqual(['first(x)', 'second']);
    expect(recent.find(advanced(place, 'fi'))?.texts).toEqual(['rst(x)']);
    expect(recent.find(advanced(place, 'se'))?.texts).toEqual(['cond']);
    expect(recent.find(place)?.texts).toHaveLength(2);
  });

  test('do not serve for anything else', () => {
    const recent = filled();
    expect(recent.find(advanced(place, 'x'))).toBeUndefined();
    expect(recent.find(advanced(place, 'first(x)'))).toBeUndefined();
    expect(recent.find(cursorAt('const b = |\nrest'))).toBeUndefined();
  });

  test('leave out the bracket that the editor has closed meanwhile', () =>
    expect(filled().find(cursorAt('const a = first(|)\nrest'))?.texts).toEqual(['x']));

  test('know that there was nothing to show', () =>
    expect(filled([]).find(place)).toEqual({ texts: [], explored: false }));

  test('are replaced where a place is asked again, and the oldest goes first', () => {
    const recent = filled();
    recent.add(place, { texts: ['new'], explored: true });
    expect(recent.find(place)).toEqual({ texts: ['new'], explored: true });
    for (const name of ['x', 'y', 'z'])
      recent.add(cursorAt(`${name} = |`), { texts: ['1'], explored: false });
    expect(recent.find(place)).toBeUndefined();
    expect(recent.find(cursorAt('x = |'))?.texts).toEqual(['1']);
    recent.clear();
    expect(recent.find(cursorAt('x = |'))).toBeUndefined();
  });
});
