import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { SentencePieceProcessor } from '@agnai/sentencepiece-js';
import { modelFolder } from '../../../server/checkpoint/starter.ts';
import { copyTokenizerFiles } from '../../../server/checkpoint/tokenizer-files.ts';
import { packageRoot } from '../../../server/package-root.ts';
import { readChatTemplate } from '../../../server/tokenizer/chat-template.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import { uniform } from '../../reference/random.ts';
import { sharedPath } from '../../reference/shared-path.ts';
import { writeGguf, type GgufField } from '../../reference/write-gguf.ts';

const root = mkdtempSync(join(tmpdir(), 'onebit-gguf-tokenizer-'));
afterAll(() => rmSync(root, { recursive: true }));

const random = uniform(9);
const code = readFileSync(join(packageRoot(), 'server', 'tokenizer', 'chat-template.ts'), 'utf8');
const texts = [
  code,
  '',
  ' ',
  '  leading\n\n\n\ttabs  trailing ',
  'Über 🦙 漢字 naïve\r\n1234567890',
  ...Array.from({ length: 30 }, () =>
    String.fromCodePoint(...Array.from({ length: 200 }, () => 32 + Math.floor(random() * 95))),
  ),
  ...Array.from({ length: 10 }, () =>
    String.fromCodePoint(...Array.from({ length: 200 }, () => 0x20 + Math.floor(random() * 0x2fe0))),
  ),
].map((text) => text.replaceAll("'", '"').normalize('NFC'));

interface TokenizerJson {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
  added_tokens: { id: number; content: string; special: boolean }[];
}

const jsonOf = (folder: string) =>
  JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as TokenizerJson;

/** A GGUF file in a folder of its own, with nothing but this metadata. */
function ggufWith(name: string, fields: GgufField[]): string {
  mkdirSync(join(root, name), { recursive: true });
  const path = join(root, name, 'model.gguf');
  writeGguf(path, [['general.architecture', 'text', 'llama'], ...fields], []);
  return path;
}

function vocabularyFields(json: TokenizerJson): GgufField[] {
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(json.model.vocab)) tokens[id] = token;
  for (const { id, content } of json.added_tokens) tokens[id] = content;
  const special = new Set(json.added_tokens.filter((each) => each.special).map(({ id }) => id));
  return [
    ['tokenizer.ggml.tokens', 'texts', tokens],
    [
      'tokenizer.ggml.token_type',
      'ints',
      tokens.map((token, id) =>
        token === '<unk>' ? 2 : special.has(id) ? 3 : /^<0x..>$/.test(token) ? 6 : 1,
      ),
    ],
  ];
}

/** As llama.cpp's converter writes a byte-level tokenizer. */
function bytePair(json: TokenizerJson, more: GgufField[] = []): GgufField[] {
  const merges = json.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return [
    ['tokenizer.ggml.model', 'text', 'gpt2'],
    ['tokenizer.ggml.pre', 'text', 'qwen2'],
    ...vocabularyFields(json),
    ['tokenizer.ggml.merges', 'texts', merges],
    ...more,
  ];
}

function referenceIds(json: TokenizerJson): (text: string) => number[] {
  const plain = json.added_tokens.filter(({ special }) => !special);
  const tokenizer = new HfTokenizer({ ...json, post_processor: null, added_tokens: plain }, {});
  return (text) => (text === '' ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids);
}

describe('a GGUF file with byte-pair encoding', () => {
  const json = jsonOf(modelFolder('starter'));
  const end = json.added_tokens.find(({ content }) => content === '<|endoftext|>')?.id ?? -1;
  const path = ggufWith(
    'gpt2',
    bytePair(json, [
      ['tokenizer.ggml.eos_token_id', 'u32', end],
      ['tokenizer.ggml.eot_token_id', 'u32', end + 1],
      ['tokenizer.chat_template', 'text', '{{ messages[0].content }}{{ eos_token }}'],
    ]),
  );

  it("gives the starter's ids and text, knows its special tokens, the ends and the infilling", async () => {
    const tokenizer = await loadTokenizer(path);
    const original = await loadTokenizer(modelFolder('starter'), { forceInfill: true });
    const reference = referenceIds(json);
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      expect(ids, text.slice(0, 80)).toEqual(reference(text));
      expect(tokenizer.decode(ids)).toBe(text);
    }
    expect(tokenizer.vocabSize).toBe(original.vocabSize);
    expect(tokenizer.infill).toEqual(original.infill);
    expect([...tokenizer.special]).toEqual([...original.special]);
    expect(tokenizer.eosIds).toEqual([end, end + 1]);
    expect(tokenizer.bosId).toBeUndefined();
  });

  it('has its chat template', async () => {
    const template = await readChatTemplate(path);
    expect(template?.render([{ role: 'user', content: 'a' }], true)).toBe('a<|endoftext|>');
    expect((await readChatTemplate(join(root, 'gpt2')))?.source).toBe(template?.source);
  });

  it('leaves its tokenizer to a model that is made of it, as files', async () => {
    const made = join(root, 'made');
    mkdirSync(made);
    await copyTokenizerFiles(path, made);
    const [from, to] = [await loadTokenizer(path), await loadTokenizer(made)];
    expect(to.encode(code)).toEqual(from.encode(code));
    expect(to.eosIds).toEqual(from.eosIds);
    expect((await readChatTemplate(made))?.source).toContain('messages[0]');
  });

  it('is not asked where a tokenizer lies beside it', async () => {
    const beside = ggufWith('beside', [['tokenizer.ggml.model', 'text', 'gpt2']]);
    copyFileSync(join(modelFolder('starter'), 'tokenizer.json'), join(root, 'beside', 'tokenizer.json'));
    expect((await loadTokenizer(beside)).encode(code)).toEqual(referenceIds(json)(code));
  });

  it.each([
    ['llama-bpe', "I'LL say it's 12345", ['I', "'LL", 'Ġsay', 'Ġit', "'s", 'Ġ', '123', '45']],
    ['qwen2', "it's 123", ['it', "'s", 'Ġ', '1', '2', '3']],
    ['gpt-2', "it's 123\n\nx", ['it', "'s", 'Ġ123', 'Ċ', 'Ċ', 'x']],
    ['smollm', "it's 123", ['it', "'s", 'Ġ', '1', '2', '3']],
    ['deepseek-coder', 'a.b 12', ['a', '.', 'b', 'Ġ', '1', '2']],
  ])('cuts words as %s does', async (pre, text, expected) => {
    // Every word of the text is a token by merges from left to right, and so is everything that a wrong cut would join.
    const words = [...expected, "'LLĠsay", '12345', '123Ċ', 'Ġ1', 'a.b'];
    const merges = new Set<string>();
    for (const word of words) {
      const letters = Array.from(word);
      for (let i = 1; i < letters.length; i++) merges.add(`${letters.slice(0, i).join('')} ${letters[i]}`);
    }
    const tokens = [
      ...new Set([
        ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)),
        ...['Ġ', 'Ċ'],
        ...[...merges].map((merge) => merge.replace(' ', '')),
      ]),
    ];
    const tokenizer = await loadTokenizer(
      ggufWith(`cut ${pre}`, [
        ['tokenizer.ggml.model', 'text', 'gpt2'],
        ['tokenizer.ggml.pre', 'text', pre],
        ['tokenizer.ggml.tokens', 'texts', tokens],
        ['tokenizer.ggml.merges', 'texts', [...merges]],
      ]),
    );
    expect(tokenizer.encode(text).map((id) => tokens[id])).toEqual(expected);
  });
});

describe('a GGUF file with SentencePiece pieces', () => {
  it("gives LLaMA-2's ids", async (context) => {
    const json = jsonOf(sharedPath(context, 'models', 'llama2-tokenizer'));
    const fields = vocabularyFields(json);
    const tokens = fields[0]?.[2] as string[];
    // The conversion to tokenizer.json sorted merges by the score of what they make.
    const ranks = new Map<string, number>();
    for (const [rank, merge] of json.model.merges.entries()) {
      const made = typeof merge === 'string' ? merge.replace(' ', '') : merge.join('');
      if (!ranks.has(made)) ranks.set(made, rank);
    }
    const scores = tokens.map((token) => -(ranks.get(token) ?? 0));
    const path = ggufWith('llama2', [
      ['tokenizer.ggml.model', 'text', 'llama'],
      ...fields,
      ['tokenizer.ggml.scores', 'floats', scores],
      ['tokenizer.ggml.bos_token_id', 'u32', 1],
      ['tokenizer.ggml.eos_token_id', 'u32', 2],
      ['tokenizer.ggml.add_bos_token', 'bool', true],
    ]);
    const tokenizer = await loadTokenizer(path);
    const reference = referenceIds(json);
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      expect(ids, text.slice(0, 80)).toEqual(reference(text));
      expect(tokenizer.decode(ids)).toBe(text);
    }
    expect(tokenizer).toMatchObject({ bosId: 1, eosIds: [2], vocabSize: 32_000 });
    expect(tokenizer.encode('a', { bos: true })[0]).toBe(1);
  });

  it("gives the ids of Google's own code for real scores", async (context) => {
    const file = readFileSync(sharedPath(context, 'models', 'stories260K', 'tok512.bin'));
    const tokens: string[] = [];
    const scores: number[] = [];
    for (let at = 4; at < file.length;) {
      const length = file.readInt32LE(at + 4);
      scores.push(file.readFloatLE(at));
      tokens.push(file.toString('utf8', at + 8, at + 8 + length).replaceAll(' ', '▁'));
      at += 8 + length;
    }
    const path = ggufWith('tok512', [
      ['tokenizer.ggml.model', 'text', 'llama'],
      ['tokenizer.ggml.tokens', 'texts', tokens.map((token, id) => (id === 0 ? '<unk>' : token))],
      ['tokenizer.ggml.scores', 'floats', scores],
      [
        'tokenizer.ggml.token_type',
        'ints',
        tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)),
      ],
      ['tokenizer.ggml.add_bos_token', 'bool', false],
      ['tokenizer.ggml.remove_extra_whitespaces', 'bool', true],
    ]);
    const tokenizer = await loadTokenizer(path);
    const original = new SentencePieceProcessor();
    await original.load(sharedPath(context, 'models', 'ternary-baseline', 'tok512.model'));
    for (const text of texts.slice(0, 30))
      expect(tokenizer.encode(text)).toEqual([...original.encodeIds(text)]);
    expect(tokenizer.bosId).toBeUndefined();
  });
});

describe('a GGUF file whose tokenizer cannot be used', () => {
  const tokens: GgufField = ['tokenizer.ggml.tokens', 'texts', ['a', 'b']];
  const refused = (name: string, fields: GgufField[]) =>
    expect(loadTokenizer(ggufWith(name, fields))).rejects;

  it('says why, and what to do', async () => {
    await refused('none', []).toMatchObject({
      code: 'no-tokenizer',
      message: expect.stringContaining('copy tokenizer.json') as string,
    });
    await refused('kind', [['tokenizer.ggml.model', 'text', 'bert'], tokens]).toMatchObject({
      code: 'no-tokenizer',
      message: expect.stringMatching(/"bert".*tokenizer\.json beside it/) as string,
    });
    const gpt2: GgufField[] = [['tokenizer.ggml.model', 'text', 'gpt2'], tokens];
    const merges: GgufField = ['tokenizer.ggml.merges', 'texts', ['a b']];
    await refused('no pre', [...gpt2, merges]).toMatchObject({
      code: 'no-tokenizer',
      message: expect.stringContaining('tokenizer.ggml.pre is missing') as string,
    });
    await refused('no merges', gpt2).toMatchObject({ code: 'bad-file' });
    const llama: GgufField[] = [['tokenizer.ggml.model', 'text', 'llama'], tokens];
    await refused('no scores', llama).toMatchObject({ code: 'bad-file' });
    await refused('types', [...llama, ['tokenizer.ggml.token_type', 'ints', [1]]]).toMatchObject({
      code: 'bad-file',
    });
    await refused('no tokens', [['tokenizer.ggml.model', 'text', 'llama']]).toMatchObject({
      code: 'bad-file',
    });
  });

  it('leaves a model that is made of it without one', async () => {
    const made = join(root, 'made without');
    mkdirSync(made);
    writeFileSync(join(made, 'config.json'), '{}');
    await copyTokenizerFiles(ggufWith('another', [['tokenizer.ggml.model', 'text', 'bert'], tokens]), made);
    await expect(loadTokenizer(made)).rejects.toMatchObject({ code: 'no-tokenizer' });
  });
});
