import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { SentencePieceProcessor } from '@agnai/sentencepiece-js';
import { afterAll, describe, expect, it } from 'vitest';
import { PairMerger } from '../../../server/tokenizer/pair-merger.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import { learnMerges, plainBpe } from '../../reference/plain-bpe.ts';
import {
  sentencePieceFile,
  type SentencePiece,
  type SentencePieceOptions,
} from '../../reference/sentencepiece-file.ts';
import { sharedPath } from '../../reference/shared-path.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-sentencepiece-'));
afterAll(() => rmSync(folder, { recursive: true }));

const corpus = 'the cat sat on the mat and the cat ate the rat; then they sat there\n';
const texts = [
  corpus,
  '',
  ' ',
  'the',
  '  the  mat ',
  'thé 🦙 cat\n\n\tsat',
  '<s> </s> <0x41> <unk>',
  `${corpus.repeat(20)}`,
];
const letters = [...new Set(corpus.replaceAll(' ', '▁'))].filter((letter) => letter !== '\n');
const merges = learnMerges(
  corpus.split('\n').map((line) => [...`▁${line.replaceAll(' ', '▁')}`]),
  40,
);
const bytePieces = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
const pieces: SentencePiece[] = [
  ['<unk>', 0, 2],
  ['<s>', 0, 3],
  ['</s>', 0, 3],
  ...bytePieces.map((piece): SentencePiece => [piece, 0, 6]),
  ...[...merges.map((pair) => pair.join('')), ...letters]
    .filter((piece, i, all) => all.indexOf(piece) === i)
    .map((piece, i): SentencePiece => [piece, -i, 1]),
];

const modelFile = (options: SentencePieceOptions = {}, more: SentencePiece[] = []) =>
  sentencePieceFile([...pieces, ...more], options);

function write(name: string, bytes: Uint8Array): string {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
}

describe('tokenizer.model', () => {
  it.each([
    ['as they are', false],
    ['spaces collapsed', true],
  ])("encodes and decodes as Google's own code does (%s)", async (_, collapse) => {
    const path = write('tok1.model', modelFile({ collapse }));
    const tokenizer = await loadTokenizer(path);
    const original = new SentencePieceProcessor();
    await original.load(path);
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      expect(ids, JSON.stringify(text)).toEqual([...original.encodeIds(text)]);
      const kept = collapse ? text.trim().replace(/ +/g, ' ') : text;
      if (!text.includes('\n') || !collapse) expect(tokenizer.decode(ids)).toBe(kept);
    }
    expect(tokenizer).toMatchObject({ vocabSize: pieces.length, bosId: 1, eosIds: [2], infill: undefined });
    expect(tokenizer.encode('the', { bos: true })[0]).toBe(1);
    expect(tokenizer.tokenText(2)).toBe('</s>');
  });

  it('never splits user-defined pieces, and hides those for infilling', async () => {
    const more: SentencePiece[] = [
      ['@@', 0, 4],
      ['@@@', 0, 4],
      ['▁<PRE>', 0, 4],
      ['▁<SUF>', 0, 4],
      ['▁<MID>', 0, 4],
    ];
    const tokenizer = await loadTokenizer(write('tok2.model', modelFile({}, more)));
    const n = pieces.length;
    const ids = tokenizer.encode('the@@@@@the <PRE>');
    expect(ids.filter((id) => id >= n)).toEqual([n + 1, n]);
    expect(tokenizer.decode(ids)).toBe('the@@@@@the <PRE>');
    expect(tokenizer.infill).toEqual({ prefix: n + 2, suffix: n + 3, middle: n + 4 });
    expect(tokenizer.decode([n + 2])).toBe('');
  });

  it('refuses what it would encode wrongly, and what is damaged', async () => {
    await expect(loadTokenizer(write('tok3.model', modelFile({ type: 1 })))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('tok3.model') as string,
    });
    await expect(loadTokenizer(write('tok4.model', modelFile({ rules: 'abc' })))).rejects.toMatchObject({
      code: 'unsupported',
    });
    const whole = modelFile();
    for (const bytes of [whole.subarray(0, whole.length - 3), Buffer.from('not a model'), Buffer.alloc(0)]) {
      await expect(loadTokenizer(write('tok5.model', bytes))).rejects.toMatchObject({ code: 'bad-file' });
    }
  });
});

describe("llama2.c's tokenizer.bin", () => {
  const binary = (() => {
    const parts: Buffer[] = [Buffer.from([Math.max(...pieces.map(([piece]) => piece.length)), 0, 0, 0])];
    for (const [piece, score] of pieces) {
      const text = Buffer.from(piece.replaceAll('▁', ' '));
      const head = Buffer.alloc(8);
      head.writeFloatLE(score);
      head.writeInt32LE(text.length, 4);
      parts.push(head, text);
    }
    return Buffer.concat(parts);
  })();
  const ids = new Map(pieces.slice(259).map(([piece], i) => [piece.replaceAll('▁', ' '), 259 + i]));

  it('encodes by the best score first, bytes for the rest, as run.c does', async () => {
    const tokenizer = await loadTokenizer(write('tok6.bin', binary));
    for (const text of texts.slice(0, -1)) {
      const expected =
        text === ''
          ? []
          : plainBpe([...` ${text}`], (l, r) => {
              const id = ids.get(l + r);
              return id === undefined ? undefined : -(pieces[id]?.[1] as number);
            }).flatMap((piece) => ids.get(piece) ?? [...Buffer.from(piece)].map((byte) => byte + 3));
      expect(tokenizer.encode(text), text).toEqual(expected);
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
    expect(tokenizer).toMatchObject({ vocabSize: pieces.length, bosId: 1, eosIds: [2, 1] });
  });

  it('refuses a file that was cut short or is something else', async () => {
    for (const bytes of [
      binary.subarray(0, binary.length - 1),
      binary.subarray(0, 3),
      binary.subarray(0, 4000),
      Buffer.alloc(5000, 7),
    ]) {
      await expect(loadTokenizer(write('tok7.bin', bytes))).rejects.toMatchObject({
        code: 'bad-file',
        message: expect.stringContaining('tok7.bin') as string,
      });
    }
  });
});

describe('PairMerger', () => {
  it('merges as the definition says, for random merges and ties', () => {
    let state = 7;
    const random = (n: number) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
    for (let round = 0; round < 200; round++) {
      const texts = ['a', 'b', 'c'];
      const merges = Array.from({ length: 12 }, () => {
        const [left, right] = [random(texts.length), random(texts.length)];
        const text = (texts[left] as string) + (texts[right] as string);
        const known = texts.indexOf(text);
        const merged = known === -1 ? texts.push(text) - 1 : known;
        return { left, right, merged, rank: random(6) };
      });
      const merger = new PairMerger(merges);
      const symbols = Int32Array.from({ length: 40 }, () => random(3));
      const expected = plainBpe(
        [...symbols].map((symbol) => texts[symbol] as string),
        (l, r) => {
          const fitting = merges.filter((m) => texts[m.left] === l && texts[m.right] === r);
          return fitting.length === 0 ? undefined : Math.min(...fitting.map((m) => m.rank));
        },
      );
      expect([...merger.merge(symbols)].map((symbol) => texts[symbol])).toEqual(expected);
    }
  });
});

describe('real tokenizers', () => {
  it('tok512: tokenizer.bin and tokenizer.model agree with each other and with the original code', async (context) => {
    const model = sharedPath(context, 'models', 'ternary-baseline', 'tok512.model');
    const fromBin = await loadTokenizer(sharedPath(context, 'models', 'stories260K'));
    const fromModel = await loadTokenizer(model);
    const original = new SentencePieceProcessor();
    await original.load(model);
    const stories = [
      'Once upon a time, there was a little girl named Lily.',
      'She loved to play outside in the park. One day, she saw a big, red ball.',
      'Über 🦙 <s>',
    ];
    for (const story of stories) {
      const ids = [...original.encodeIds(story)];
      expect(fromModel.encode(story)).toEqual(ids);
      expect(fromBin.encode(story)).toEqual(ids);
      expect(fromBin.decode(ids)).toBe(story);
    }
  });

  it("LLaMA-2's gives the ids that are known of it", async (context) => {
    const tokenizer = await loadTokenizer(sharedPath(context, 'models', 'llama2-tokenizer'));
    const known: [string, number[]][] = [
      [' ', [259]],
      ['  ', [1678]],
      ['\t', [29871, 12]],
      ['\n\n\n', [29871, 13, 13, 13]],
      ['Hello world', [15043, 3186]],
      [' Hello world', [29871, 15043, 3186]],
      [' Hello, world!', [29871, 15043, 29892, 3186, 29991]],
      [' this is 🦙.cpp', [29871, 445, 338, 29871, 243, 162, 169, 156, 29889, 8223]],
      ['w048 7tuijk dsdfhu', [281, 29900, 29946, 29947, 29871, 29955, 9161, 13535, 18031, 2176, 6905]],
      ['нещо на Български', [1538, 4851, 665, 1386, 29713, 1305]],
      ['    Hello\n    Hello', [268, 15043, 13, 1678, 15043]],
      [' (', [29871, 313]],
      ['\n =', [29871, 13, 353]],
      ["' era", [525, 3152]],
      ['333333333', [29871, 29941, 29941, 29941, 29941, 29941, 29941, 29941, 29941, 29941]],
    ];
    for (const [text, ids] of known) {
      expect(tokenizer.encode(text), text).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text);
    }
    expect(tokenizer).toMatchObject({ vocabSize: 32000, bosId: 1, eosIds: [2] });
  });

  it('the code tokenizer turns code into the ids that its teacher was tested with, and back', async (context) => {
    const folder = sharedPath(context, 'models', 'code-teacher');
    const tokenizer = await loadTokenizer(folder);
    const { reference } = JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8')) as {
      reference: { ids: number[] };
    };
    expect(tokenizer.encode(tokenizer.decode(reference.ids))).toEqual(reference.ids);
    expect(tokenizer.infill).toEqual({ prefix: 4090, suffix: 4091, middle: 4092 });
    const lines = gunzipSync(readFileSync(sharedPath(context, 'data', 'code', 'valid.jsonl.gz')))
      .toString()
      .split('\n');
    let characters = 0;
    let tokens = 0;
    for (const line of lines.slice(0, 40)) {
      const { text } = JSON.parse(line) as { text: string };
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      characters += text.length;
      tokens += ids.length;
    }
    expect(characters / tokens).toBeGreaterThan(3);
  });
});
