import { describe, expect, test } from 'vitest';
import { trimCompletion } from '../../../extension/completion/trim-completion.ts';

/** Surroundings from source with `|` at the cursor. */
function at(source: string) {
  const [before = '', after = ''] = source.split('|');
  const [lineAfter = '', ...linesBelow] = after.split('\n');
  return { lineBefore: before.slice(before.lastIndexOf('\n') + 1), lineAfter, linesBelow };
}
const one = (text: string, source: string) => trimCompletion(text, at(source), true);
const many = (text: string, source: string) => trimCompletion(text, at(source), false);

describe('what stands after the cursor is not inserted again', () => {
  test.each([
    ['a, b)', 'call(|)', 'a, b'],
    ['a, b);', 'call(|);', 'a, b'],
    ['a, b); // done', 'call(|);', 'a, b'],
    ['f(x), y)', 'call(|)', 'f(x), y'],
    ['f(x)', 'call(|)', 'f(x)'],
    ['f(x))', 'call(|)', 'f(x)'],
    ['[1, 2]', 'call(|]', '[1, 2]'],
    ['"key"]', 'map[|]', '"key"'],
    ["name'", "import '|'", 'name'],
    ['i < n; i++) {', 'for (let i = 0; |) {', 'i < n; i++'],
    ['value;', 'const x = |;', 'value'],
    ['() => {}', 'on(|)', '() => {}'],
    ['1 }', 'const o = { a: | }', '1'],
  ])('%j in %j is %j', (text, source, expected) => expect(one(text, source)).toBe(expected));

  test('brackets are kept when nothing stands after the cursor', () =>
    expect(one('a, b);', 'call(|')).toBe('a, b);'));

  test('lines that stand below are not repeated', () =>
    expect(many('const a = 1;\n  const b = 2;\n  return a + b;', 'f() {\n  |\n  return a + b;\n}')).toBe(
      'const a = 1;\n  const b = 2;',
    ));
});

describe('the completion ends with its block', () => {
  test('a single line ends at the line end', () =>
    expect(one('return 1;\n}\n', 'function f() { |')).toBe('return 1;'));

  test('after an opening bracket, the closing bracket is the end', () =>
    expect(many('\n  return 1;\n}\n\nfunction g() {\n  return 2;', 'function f() {|')).toBe(
      '\n  return 1;\n}',
    ));

  test('a closing bracket that stands below is left out', () =>
    expect(many('\n  return 1;\n}\nmore();', 'function f() {|\n}')).toBe('\n  return 1;'));

  test('else goes on', () =>
    expect(many('\n  a();\n} else {\n  b();\n}\nc();', 'if (x) {|')).toBe('\n  a();\n} else {\n  b();\n}'));

  test('a less indented line is not part of the block', () =>
    expect(many('a();\n  b();\n}\nc();', 'f() {\n  |\n}')).toBe('a();\n  b();'));

  test('on an empty line, one paragraph', () =>
    expect(many('const a = 1;\nconst b = 2;\n\nconst c = 3;', '|')).toBe('const a = 1;\nconst b = 2;'));

  test('blank lines inside a body stay', () =>
    expect(many('\n  a();\n\n  b();\n}', 'function f() {|')).toBe('\n  a();\n\n  b();\n}'));
});

test('a loop is cut after its first line', () =>
  expect(many('x();\ny();\ny();\ny();\ny();', '|')).toBe('x();\ny();'));

test.each([
  [' a, const a, const a, const a', ' a, const'],
  ['1000000000000', '1000'],
  ['total; // ----------------', 'total; // ----------------'],
  ['f(a, b, a, b)', 'f(a, b, a, b)'],
])('a line that loops is cut: %j', (text, expected) => expect(one(text, 'x |')).toBe(expected));

test('carriage returns become line ends', () =>
  expect(many('\r\n  a();\r\n}', 'f() {|')).toBe('\n  a();\n}'));

test.each(['', '   ', '\n\n', ')'])('nothing is shown for %j', (text) =>
  expect(many(text, 'call(|)')).toBeUndefined(),
);
