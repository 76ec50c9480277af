import { describe, expect, test } from 'vitest';
import { identifiers, similarity } from '../../../../extension/completion/context/identifiers.ts';
import { importedSymbols, usedSymbols } from '../../../../extension/completion/context/imported-symbols.ts';
import { RecentDocuments } from '../../../../extension/completion/context/recent-documents.ts';
import {
  RelatedContext,
  type FindDefinition,
} from '../../../../extension/completion/context/related-context.ts';
import {
  SimilarWindows,
  type OpenDocument,
} from '../../../../extension/completion/context/similar-windows.ts';
import { cursorAt } from './cursor-at.ts';

const open = (name: string, text: string, language = 'typescript'): OpenDocument => ({
  document: `file:///${name}`,
  path: name,
  language,
  version: 1,
  text: () => text,
});

describe('similarity', () => {
  test('is over names, not keywords', () =>
    expect([...identifiers('const userName = await getUser(x, 12);')]).toEqual(['username', 'getuser']));

  test('is Jaccard’s', () => {
    const a = identifiers('alpha beta gamma delta');
    const b = identifiers('beta gamma epsilon');
    // Two names of five are in both.
    expect(similarity(a, b)).toBeCloseTo(2 / 5, 12);
    expect(similarity(b, a)).toBeCloseTo(2 / 5, 12);
    expect(similarity(a, new Set())).toBe(0);
  });
});

describe('similar windows', () => {
  const filler = (name: string) => Array.from({ length: 12 }, (_, i) => `${name}Filler${i}();`).join('\n');
  const near = 'const parser = new TokenParser(source);\nparser.readHeader();\nparser.skipBlanks();';
  const around = 'parser.readHeader();\nparser.skipBlanks(source);\nnew TokenParser';
  const options = { windowLines: 6, budget: 1000 };

  test('finds the piece that speaks of the same things', () => {
    const documents = [open('a.ts', filler('a')), open('b.ts', `${filler('b')}\n${near}\n${filler('c')}`)];
    const [best] = new SimilarWindows().rank(around, documents, options);
    expect(best?.path).toBe('b.ts');
    expect(best?.text).toContain('parser.readHeader();');
  });

  test('keeps to the budget, and to one window of a place', () => {
    const documents = [open('b.ts', near), open('c.ts', `${near}\nmore();`)];
    const all = new SimilarWindows().rank(around, documents, options);
    expect(all.map(({ path }) => path).sort()).toEqual(['b.ts', 'c.ts']);
    const few = new SimilarWindows().rank(around, documents, { ...options, budget: near.length + 10 });
    expect(few).toHaveLength(1);
  });

  test('says nothing where nothing is alike, and reads a changed document again', () => {
    const windows = new SimilarWindows();
    expect(windows.rank(around, [open('a.ts', filler('a'))], options)).toEqual([]);
    expect(windows.rank(around, [{ ...open('a.ts', near), version: 2 }], options)).toHaveLength(1);
  });

  test('passes by files that nobody wrote', () =>
    expect(
      new SimilarWindows().rank(around, [open('min.js', `${near} ${'x'.repeat(500)}`)], options),
    ).toEqual([]));
});

test('the documents touched last come first, of the same family of languages', () => {
  const recent = new RecentDocuments();
  for (const [name, language] of [
    ['a.ts', 'typescript'],
    ['b.py', 'python'],
    ['c.js', 'javascript'],
    ['d.ts', 'typescript'],
  ] as const) {
    recent.touch(open(name, '', language));
  }
  recent.touch(open('a.ts', ''));
  const paths = (own: string, count = 9) =>
    recent.besides(`file:///${own}`, 'typescript', count).map(({ path }) => path);
  expect(paths('d.ts')).toEqual(['a.ts', 'c.js']);
  expect(paths('c.js', 1)).toEqual(['a.ts']);
  recent.remove('file:///a.ts');
  expect(paths('d.ts')).toEqual(['c.js']);
});

describe('imported symbols', () => {
  const text = [
    "import express, { type Request, Router as Way } from 'express';",
    "import * as path from 'node:path';",
    'import {',
    '  alpha,',
    '  beta,',
    "} from './letters';",
    "const { gamma } = require('./greek');",
    'from os.path import join, exists as there',
  ].join('\n');

  test('are found where they stand', () => {
    const lines = text.split('\n');
    const found = importedSymbols(text);
    expect(found.map(({ name }) => name).sort()).toEqual(
      ['Request', 'Way', 'alpha', 'beta', 'express', 'gamma', 'join', 'path', 'there'].sort(),
    );
    for (const { name, line, character } of found)
      expect(lines[line]?.slice(character)).toMatch(new RegExp(`^${name}\\b`));
  });

  test('that are used last come first; unused ones not at all', () => {
    const used = usedSymbols(importedSymbols(text), 'alpha(); Way.get(path);');
    expect(used.map(({ name }) => name)).toEqual(['path', 'Way', 'alpha']);
  });
});

describe('related context', () => {
  const head = "import { parse } from './parser';\n";
  const parser = 'export function parse(source: string): Tree {';
  const cursor = (line = 10) => cursorAt(`${head}\nconst tree = parse(|`, { line });
  const context = (findDefinition: FindDefinition, definitionMs = 1000) => {
    const recent = new RecentDocuments();
    recent.touch(open('use.ts', 'const tree = parse(text);\nwalk(tree);'));
    return {
      recent,
      related: new RelatedContext({ recent, head: () => head, findDefinition, definitionMs }),
    };
  };
  const found: FindDefinition = (_, symbol) =>
    Promise.resolve(symbol.name === 'parse' ? { path: 'parser.ts', text: parser } : undefined);

  test('has definitions of what is used, then what is alike', async () => {
    const { related } = context(found);
    expect((await related.snippets(cursor(), 2048)).map(({ path }) => path)).toEqual(['parser.ts', 'use.ts']);
  });

  test('stays the same while the cursor is near, and is chosen anew elsewhere and later', async () => {
    const { recent, related } = context(found);
    const first = await related.snippets(cursor(), 2048, 1000);
    recent.touch(open('more.ts', 'const tree = parse(more);\nparse(tree);'));
    expect(await related.snippets(cursor(25), 2048, 2000)).toBe(first);
    expect(await related.snippets(cursor(60), 2048, 3000)).toHaveLength(3);
    expect(await related.snippets(cursor(60), 2048, 90_000)).not.toBe(first);
  });

  test('does without definitions that take too long or fail', async () => {
    const slow = context(() => new Promise(() => {}), 5);
    expect((await slow.related.snippets(cursor(), 2048)).map(({ path }) => path)).toEqual(['use.ts']);
    const broken = context(() => Promise.reject(new Error('no language server')));
    expect((await broken.related.snippets(cursor(), 2048)).map(({ path }) => path)).toEqual(['use.ts']);
  });

  test('keeps to a share of the context', async () => {
    const { related } = context(found);
    const size = (await related.snippets(cursor(), 128)).reduce((sum, { text }) => sum + text.length, 0);
    expect(size).toBeLessThanOrEqual(128);
  });
});
