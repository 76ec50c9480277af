import { describe, expect, it } from 'vitest';
import type { Document } from '../../../../server/distill/data/document.ts';
import { plainWindows, WindowStream, type WindowOptions } from '../../../../server/distill/data/windows.ts';
import type { Tokenizer } from '../../../../server/tokenizer/tokenizer.ts';
import { characterTokenizer as tokenizer } from '../../../reference/character-tokenizer.ts';

const documents: Document[] = Array.from({ length: 7 }, (_, i) => ({
  path: `${i}.ts`,
  text: String.fromCharCode(97 + i).repeat(30 + 40 * i),
}));
const options: WindowOptions = { window: 64, seed: 3, infillRate: 0, infillSplit: 'mixed', lanes: 1 };
const take = (stream: WindowStream, n: number) => Array.from({ length: n }, () => [...stream.next()]);
/** A stream's tokens without the one that each window repeats. */
const joined = (windows: number[][]) => windows.flatMap((ids, i) => (i === 0 ? ids : ids.slice(1)));

describe('WindowStream', () => {
  it('lays every document of an epoch end to end, once, in a new order each epoch', () => {
    const epochTokens = documents.reduce((sum, { text }) => sum + text.length + 1, 0);
    const windows = take(new WindowStream(documents, tokenizer, options), Math.ceil((2 * epochTokens) / 64));
    for (const ids of windows) expect(ids).toHaveLength(65);
    const ids = joined(windows).slice(0, 2 * epochTokens);
    const texts = tokenizer
      .decode(ids.map((id) => (id === 0 ? '|'.charCodeAt(0) + 10 : id)))
      .split('|')
      .filter((text) => text !== '');
    const expected = documents.map(({ text }) => text);
    expect(texts.slice(0, 7).sort()).toEqual(expected);
    expect(texts.slice(7).sort()).toEqual(expected);
    expect(texts.slice(0, 7)).not.toEqual(texts.slice(7));
  });

  it('takes the windows of a batch from different documents', () => {
    const long = documents.map(({ path, text }) => ({ path, text: text.repeat(40) }));
    const stream = new WindowStream(long, tokenizer, { ...options, lanes: 5 });
    for (const batch of Array.from({ length: 4 }, () => take(stream, 5))) {
      expect(new Set(batch.map((ids) => ids[10])).size).toBe(5);
    }
  });

  it('gives the same windows for the same seed only, and goes on from a state', () => {
    const mixed = { ...options, infillRate: 0.5, lanes: 3 };
    const whole = take(new WindowStream(documents, tokenizer, mixed), 60);
    expect(take(new WindowStream(documents, tokenizer, mixed), 60)).toEqual(whole);
    expect(take(new WindowStream(documents, tokenizer, { ...mixed, seed: 4 }), 60)).not.toEqual(whole);
    for (const stop of [0, 1, 17, 43]) {
      const first = new WindowStream(documents, tokenizer, mixed);
      take(first, stop);
      const second = new WindowStream(documents, tokenizer, mixed);
      second.restore(JSON.parse(JSON.stringify(first.state())));
      expect(take(second, 60 - stop)).toEqual(whole.slice(stop));
    }
  });

  it('rearranges the wanted share, whole in one window, with nothing lost but what the marks displace', () => {
    const windows = take(new WindowStream(documents, tokenizer, { ...options, infillRate: 0.5 }), 400);
    let rearranged = 0;
    for (const [i, ids] of windows.entries()) {
      const open: number[] = [];
      for (const id of i === 0 ? ids : ids.slice(1)) {
        if (id >= 1 && id <= 3) open.push(id);
        if (id === 3) {
          expect(open).toEqual([1, 2, 3]);
          open.length = 0;
          rearranged++;
        }
      }
      expect(open).toEqual([]);
    }
    // Pieces are about as long as windows, and half of them are rearranged.
    expect(rearranged).toBeGreaterThan(150);
    expect(rearranged).toBeLessThan(350);
  });

  it('refuses infilling without the tokens, and text without tokens', () => {
    const plain: Tokenizer = { ...tokenizer, infill: undefined };
    expect(() => new WindowStream(documents, plain, { ...options, infillRate: 0.5 })).toThrow(
      /infill rate of 0/,
    );
    expect(() => new WindowStream([], tokenizer, options)).toThrow(/no text/);
    const empty: Tokenizer = { ...tokenizer, encode: () => [] };
    expect(() => new WindowStream(documents, empty, options).next()).toThrow(/no tokens/);
  });
});

describe('plainWindows', () => {
  it('cuts the first windows of the documents in order', () => {
    const windows = plainWindows(documents, tokenizer, 64, 5).map((ids) => [...ids]);
    const all = documents.flatMap(({ text }) => [...tokenizer.encode(text), 0]);
    expect(windows).toHaveLength(5);
    expect(joined(windows)).toEqual(all.slice(0, 5 * 64 + 1));
  });

  it('makes one short window of a short text', () => {
    const windows = plainWindows([{ path: 'a', text: 'abc' }], tokenizer, 64, 5);
    expect(windows.map((ids) => [...ids])).toEqual([[...tokenizer.encode('abc'), 0]]);
  });
});
