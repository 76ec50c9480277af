import { describe, expect, test } from 'vitest';
import { isComplete, trimCompletion } from '../../../../extension/completion/trim/trim-completion.ts';
import { cursorAt } from './cursor-at.ts';

const one = (text: string, source: string) => trimCompletion(text, cursorAt(source), { singleLine: true });
const many = (text: string, source: string) => trimCompletion(text, cursorAt(source), { singleLine: false });

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

describe('indentation', () => {
  test('white space is not added to the indentation where the cursor stands', () => {
    expect(one('  return 1;', 'f() {\n  a();\n  |\n}')).toBe('return 1;');
    expect(many('  if (x) {\n      y();\n    }', 'f() {\n  a();\n  |\n}')).toBe('if (x) {\n    y();\n  }');
  });

  test('it stays where a deeper line is due, and at the start of a line', () => {
    expect(one('  return 1;', '  f() {\n  |\n}')).toBe('  return 1;');
    expect(one('  return 1;', 'f() {\n|\n}')).toBe('  return 1;');
    expect(one(' + 1;', 'const a = b|')).toBe(' + 1;');
  });
});

describe('what was cut off', () => {
  const cut = (text: string) =>
    trimCompletion(text, cursorAt('f() {|\n'), { singleLine: false, cutOff: true });

  test('half a line at the end is left out', () => {
    expect(cut('\n  first();\n  seco')).toBe('\n  first();');
    expect(cut('\n  first();\n}\nmo')).toBe('\n  first();\n}');
    expect(cut('only')).toBe('only');
  });
});

describe('repetition', () => {
  test('a group of lines that comes twice is kept once', () =>
    expect(many('a(1);\nb(2);\na(1);\nb(2);\nc();', '|')).toBe('a(1);\nb(2);'));

  test.each(['const a = 1;\n|\n', '|\nconst a = 1;\n', '|\n\nconst a = 1;'])(
    'a line that stands above or below already is not shown: %j',
    (source) => expect(one('const a = 1;', source)).toBeUndefined(),
  );

  test('a closing bracket like the one above is', () => expect(one('}', '  }\n|')).toBe('}'));
});

describe('a generation may end', () => {
  const done = (text: string, source: string, singleLine: boolean) =>
    isComplete(text, cursorAt(source), singleLine);

  test.each<[string, string, boolean, boolean]>([
    ['a, b', 'call(|)', true, false],
    ['a, b)', 'call(|)', true, true],
    ['a, b)', 'call(|', true, false],
    ['value;\n', 'const x = |', true, true],
    ['1000', 'x = |', true, false],
    ['1000000000000', 'x = |', true, true],
    ['\n  a();\n', 'f() {|', false, false],
    ['\n  a();\n}', 'f() {|', false, false],
    ['\n  a();\n}\n', 'f() {|', false, true],
    ['\n  a();\n}\nmore', 'f() {|', false, true],
    ['\n  a();\nb', '  f() {|', false, true],
    ['\n  a();\n ', 'f() {|', false, false],
    ['a();\n\n', '|', false, true],
    ['y();\ny();\ny();\n', 'f();\n|', false, true],
  ])('after %j in %j (one line: %j): %j', (text, source, singleLine, expected) =>
    expect(done(text, source, singleLine)).toBe(expected),
  );

  test('only when no further text changes what is inserted', () => {
    const sources = ['f() {|', 'f() {|\n}', '  |\n}', '|', 'call(|)', 'if (a) {\n  |\n}\nb();'];
    const texts = [
      '\n  a();\n}\n\nfunction g() {\n  return 2;\n}\n',
      'a();\n  b();\n}\nc();\n',
      'a, b);\nmore(a);\n',
      'x;\nx;\nx;\nx;\n',
      '\n  a();\n} else {\n  b();\n}\nc();\n\nd();',
    ];
    for (const source of sources) {
      for (const text of texts) {
        for (const singleLine of [true, false]) {
          const cursor = cursorAt(source);
          const whole = trimCompletion(text, cursor, { singleLine });
          for (let length = 1; length <= text.length; length++) {
            const begun = text.slice(0, length);
            if (!isComplete(begun, cursor, singleLine)) continue;
            expect(trimCompletion(begun, cursor, { singleLine }), `${begun} in ${source}`).toBe(whole);
          }
        }
      }
    }
  });
});
