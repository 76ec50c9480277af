/** What stands at a place in a text, as far as it can be told without a parser of the language. */
export type Scope = 'code' | 'comment' | 'string';

interface Marks {
  /** What begins a comment up to the line's end. */
  line: readonly string[];
  block: readonly (readonly [string, string])[];
  /** Quotes; a quote of several characters, or in `across`, goes on over line ends. */
  quotes: readonly string[];
  across: readonly string[];
}

const cLike: Marks = {
  line: ['//'],
  block: [['/*', '*/']],
  quotes: ['"', "'", '`'],
  across: ['`'],
};
const hash: Marks = { line: ['#'], block: [], quotes: ['"', "'"], across: [] };
const python: Marks = { ...hash, quotes: ['"""', "'''", '"', "'"], across: ['"""', "'''"] };
const markup: Marks = { line: [], block: [['<!--', '-->']], quotes: [], across: [] };
const plain: Marks = { line: [], block: [], quotes: [], across: [] };
const sql: Marks = { line: ['--'], block: [['/*', '*/']], quotes: ["'"], across: ["'"] };
const lua: Marks = {
  line: ['--'],
  block: [
    ['--[[', ']]'],
    ['{-', '-}'],
  ],
  quotes: ['"'],
  across: [],
};
const lisp: Marks = { line: [';'], block: [['#|', '|#']], quotes: ['"'], across: ['"'] };
// A single quote is a lifetime or a character.
const rust: Marks = { ...cLike, quotes: ['"'], across: ['"'] };

const byLanguage = new Map<string, Marks>([
  ...['python', 'coffeescript'].map((id) => [id, python] as const),
  ...['ruby', 'perl', 'r', 'shellscript', 'makefile', 'dockerfile', 'yaml', 'toml', 'elixir', 'julia'].map(
    (id) => [id, hash] as const,
  ),
  ...['powershell', 'ini', 'properties', 'dotenv', 'ignore'].map((id) => [id, hash] as const),
  ...['html', 'xml', 'markdown', 'svg'].map((id) => [id, markup] as const),
  ...['plaintext', 'json', 'csv', 'log', 'latex'].map((id) => [id, plain] as const),
  ...['lua', 'haskell', 'elm'].map((id) => [id, lua] as const),
  ...['clojure', 'lisp', 'scheme'].map((id) => [id, lisp] as const),
  ['rust', rust],
  ['sql', sql],
]);

/**
 * What the end of `before` stands in. Languages that are not known are read as C is. A text that begins in the
 * middle of a comment or string of several lines is misread up to its end: good enough to decide about
 * a completion, and the worst case is the wrong decision for one file.
 */
export function scopeAtEnd(before: string, language: string): Scope {
  const marks = byLanguage.get(language) ?? cLike;
  let at = 0;
  while (at < before.length) {
    const block = marks.block.find(([begin]) => before.startsWith(begin, at));
    if (block !== undefined) {
      const end = before.indexOf(block[1], at + block[0].length);
      if (end < 0) return 'comment';
      at = end + block[1].length;
      continue;
    }
    if (marks.line.some((begin) => before.startsWith(begin, at)) && !insideWord(before, at, marks)) {
      const end = before.indexOf('\n', at);
      if (end < 0) return 'comment';
      at = end + 1;
      continue;
    }
    const quote = marks.quotes.find((begin) => before.startsWith(begin, at));
    if (quote !== undefined) {
      const end = stringEnd(before, at + quote.length, quote, marks.across.includes(quote));
      if (end < 0) return 'string';
      at = end;
      continue;
    }
    at++;
  }
  return 'code';
}

/** `#` in `$#` or `a#b` and `//` in `https://` begin no comment. */
function insideWord(text: string, at: number, marks: Marks): boolean {
  const previous = at === 0 ? '' : text.charAt(at - 1);
  return marks.line.includes('#') ? /[^\s;)({}]/.test(previous) : previous === ':';
}

/** The place after the closing quote; at a line's end where a string may not go on; -1 at the text's end. */
function stringEnd(text: string, from: number, quote: string, across: boolean): number {
  for (let at = from; at < text.length; at++) {
    if (text.charAt(at) === '\\') at++;
    else if (!across && text.charAt(at) === '\n') return at;
    else if (text.startsWith(quote, at)) return at + quote.length;
  }
  return -1;
}
