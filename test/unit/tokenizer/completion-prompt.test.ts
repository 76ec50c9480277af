import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildingPrompt, LeadSkipper } from '../../../server/tokenizer/completion-prompt.ts';
import { finish } from '../../../server/tokenizer/in-slices.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../../../server/tokenizer/tokenizer.ts';
import { byteTokens, writeByteTokenizer } from '../../reference/byte-tokenizer.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-prompt-'));
let tokenizer: Tokenizer;

beforeAll(async () => {
  writeByteTokenizer(folder);
  tokenizer = await loadTokenizer(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

const bytes = (text: string): number[] => [...Buffer.from(text)];
const { prefix: PRE, suffix: SUF, middle: MID } = byteTokens;

const buildPrompt = (...of: Parameters<typeof buildingPrompt>) => finish(buildingPrompt(...of));

describe('buildPrompt', () => {
  it('lays prefix, suffix and middle out as the model was trained', () => {
    const prompt = buildPrompt(tokenizer, { extra: [], prefix: 'ab', suffix: 'yz' }, 10, 100);
    expect(prompt).toEqual({
      ids: [PRE, ...bytes('ab'), SUF, ...bytes('yz'), MID],
      lead: '',
      infilled: true,
      maxTokens: 10,
      stopIds: [PRE, SUF, MID],
    });
  });

  it('continues the prefix alone where nothing is known of what follows', () => {
    const prompt = buildPrompt(tokenizer, { extra: [], prefix: 'ab', suffix: undefined }, 10, 100);
    expect(prompt).toMatchObject({ ids: bytes('ab'), infilled: false, stopIds: [] });
  });

  it('leaves spaces before the cursor to the answer, but not indentation', () => {
    const ask = (prefix: string) => buildPrompt(tokenizer, { extra: [], prefix, suffix: undefined }, 10, 100);
    expect(ask('a =  ')).toMatchObject({ ids: bytes('a ='), lead: '  ' });
    expect(ask('a =\t')).toMatchObject({ ids: bytes('a =\t'), lead: '' });
    expect(ask('{\n  ')).toMatchObject({ ids: bytes('{\n  '), lead: '' });
    expect(ask('  ')).toMatchObject({ ids: bytes('  '), lead: '' });
  });

  it('does not take the names of special tokens in text for the tokens', () => {
    const { ids } = buildPrompt(tokenizer, { extra: [], prefix: '<|fim_middle|>', suffix: '' }, 1, 100);
    expect(ids.filter((id) => id === MID)).toHaveLength(1);
  });

  it('drops the suffix’s end and the prefix’s start, and leaves room for the answer', () => {
    const gap = { extra: [], prefix: `${'p'.repeat(500)}|`, suffix: `|${'s'.repeat(500)}` };
    const { ids, maxTokens } = buildPrompt(tokenizer, gap, 20, 200);
    expect(maxTokens).toBeGreaterThanOrEqual(20);
    expect(ids.length + maxTokens).toBeLessThanOrEqual(200);
    const suffix = ids.slice(ids.indexOf(SUF) + 1, ids.indexOf(MID));
    expect(suffix[0]).toBe(bytes('|')[0]);
    expect(suffix.length).toBe(Math.floor((200 - 20 - 3) / 4));
    const prefix = ids.slice(1, ids.indexOf(SUF));
    expect(prefix.at(-1)).toBe(bytes('|')[0]);
    expect(prefix.length).toBeGreaterThan(0.8 * (200 - 20 - 3 - suffix.length));
  });

  it('keeps half of the context at most for the answer', () => {
    const { ids, maxTokens } = buildPrompt(
      tokenizer,
      { extra: [], prefix: 'p'.repeat(500), suffix: '' },
      4096,
      128,
    );
    expect(ids.length).toBeGreaterThan(50);
    expect(ids.length + maxTokens).toBe(128);
  });

  it('begins with the same tokens for most keystrokes in a long file, so that the KV cache serves again', () => {
    const text = Array.from({ length: 400 }, (_, line) => `line ${line} of a file\n`).join('');
    let kept = 0;
    let before: number[] = [];
    for (let typed = 0; typed < 100; typed++) {
      const gap = { extra: [], prefix: text + 'x'.repeat(typed), suffix: 'tail' };
      const { ids } = buildPrompt(tokenizer, gap, 16, 256);
      const prefix = ids.slice(0, ids.indexOf(SUF));
      if (before.every((id, i) => prefix[i] === id)) kept++;
      before = prefix;
    }
    expect(kept).toBeGreaterThan(90);
  });

  it('puts snippets of other files before the prefix while there is room', () => {
    const extra = [
      { path: 'a.ts', text: 'A' },
      { path: 'big.ts', text: 'B'.repeat(1000) },
    ];
    const { ids } = buildPrompt(tokenizer, { extra, prefix: 'p', suffix: '' }, 10, 100);
    expect(ids.slice(0, ids.indexOf(SUF))).toEqual([...bytes('// a.ts\nA\n'), PRE, ...bytes('p')]);
  });

  it('keeps a quarter of the room for snippets, at the front, however long prefix and suffix are', () => {
    const extra = [{ path: 'a.ts', text: 'A'.repeat(200) }];
    const gap = { extra, prefix: 'p'.repeat(3000), suffix: 's'.repeat(3000) };
    const { ids } = buildPrompt(tokenizer, gap, 20, 1200);
    const snippet = bytes(`// a.ts\n${'A'.repeat(200)}\n`);
    expect(ids.slice(0, snippet.length + 1)).toEqual([...snippet, PRE]);
    expect(ids.length).toBeLessThanOrEqual(1180);
    const large = { ...gap, extra: [{ path: 'a.ts', text: 'A'.repeat(600) }] };
    expect(buildPrompt(tokenizer, large, 20, 1200).ids[0]).toBe(PRE);
    // A small context is the file's own, as far as it needs it.
    expect(buildPrompt(tokenizer, gap, 20, 600).ids[0]).toBe(PRE);
    expect(buildPrompt(tokenizer, { ...gap, prefix: 'p', suffix: 's' }, 20, 600).ids[0]).toBe(snippet[0]);
  });

  it('marks files by the token of models that were taught to see several', () => {
    const file = 7;
    const taught: Tokenizer = {
      ...{ vocabSize: tokenizer.vocabSize, bosId: undefined, eosIds: [], special: tokenizer.special },
      infill: { prefix: PRE, suffix: SUF, middle: MID, file },
      encode: (text, options) => tokenizer.encode(text, options),
      encoding: (text, options) => tokenizer.encoding(text, options),
      decode: (ids, options) => tokenizer.decode(ids, options),
      tokenText: (id) => tokenizer.tokenText(id),
      tokenBytes: (id) => tokenizer.tokenBytes(id),
      stream: (options) => tokenizer.stream(options),
    };
    const gap = { extra: [{ path: 'b.ts', text: 'B\n' }], path: 'a.ts', prefix: 'p', suffix: 's' };
    const { ids, stopIds } = buildPrompt(taught, gap, 10, 100);
    expect(ids).toEqual([
      ...[file, ...bytes('b.ts\nB\n'), file, ...bytes('a.ts\n')],
      ...[PRE, ...bytes('p'), SUF, ...bytes('s'), MID],
    ]);
    expect(stopIds).toContain(file);
    expect(buildPrompt(taught, { ...gap, extra: [] }, 10, 100).ids[0]).toBe(PRE);
  });

  it('keeps everything up to the middle token while a line is typed', () => {
    const prefix = Array.from({ length: 60 }, (_, line) => `line ${line}\n`).join('');
    const suffix = Array.from({ length: 60 }, (_, line) => `after ${line}\n`).join('');
    const line = '  const value = compute(one);';
    const upToMiddle = new Set<string>();
    for (let typed = 0; typed <= line.length; typed++) {
      const gap = { extra: [], prefix, begun: line.slice(0, typed), suffix };
      const { ids } = buildPrompt(tokenizer, gap, 16, 256);
      upToMiddle.add(ids.slice(0, ids.indexOf(MID)).join());
    }
    // Nothing typed yet, then one step of room for the line.
    expect(upToMiddle.size).toBe(2);
  });

  it('puts what is written of the gap after the middle token, or after the prefix where nothing is filled in', () => {
    const gap = { extra: [], prefix: 'ab\n', begun: 'x = ', suffix: 'yz' };
    const prompt = buildPrompt(tokenizer, gap, 10, 100);
    expect(prompt.ids).toEqual([PRE, ...bytes('ab\n'), SUF, ...bytes('yz'), MID, ...bytes('x =')]);
    expect(prompt.lead).toBe(' ');
    expect(buildPrompt(tokenizer, { ...gap, suffix: undefined }, 10, 100)).toMatchObject({
      ids: bytes('ab\nx ='),
      lead: ' ',
    });
    const long = buildPrompt(tokenizer, { ...gap, begun: 'b'.repeat(1000) }, 10, 100);
    expect(long.ids.length + 10).toBeLessThanOrEqual(100);
  });
});

describe('LeadSkipper', () => {
  const answer = (lead: string, ...pieces: string[]): string => {
    const skipper = new LeadSkipper(lead);
    return pieces.map((piece) => skipper.push(piece)).join('|');
  };

  it('takes the lead off once, in whatever pieces it comes', () => {
    expect(answer('  ', '  b', ' c')).toBe('b| c');
    expect(answer('  ', ' ', ' b', '  c')).toBe('|b|  c');
    expect(answer('', ' b')).toBe(' b');
  });

  it('leaves an answer without the lead as it is', () => {
    expect(answer(' ', '(b', ' c')).toBe('(b| c');
    expect(answer('  ', ' b', ' c')).toBe('b| c');
  });
});
