import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import { learnMerges, plainBpe } from '../../reference/plain-bpe.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-tokenizer-'));
afterAll(() => rmSync(folder, { recursive: true }));

const corpus =
  'function add(first, second) { return first + second; }\n' +
  '  const größe = "naïve — 🦙🦙";\n\treturn größe.length;\n';
const texts = [
  corpus,
  '',
  ' ',
  '   leading',
  'trailing   ',
  '\n\n\tfunction\r\n',
  'unseen ☃ 漢字 \u0000 \u{10ffff}',
  '<|endoftext|> <s> </s> <|fim_prefix|> <0x41>',
  '\ufeffbom',
];

/** GPT-2's printable characters for bytes, from its definition. */
const printable = Array.from(
  { length: 256 },
  (_, byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174,
);
const byteCharacter = printable.map((is, byte) =>
  String.fromCodePoint(is ? byte : 256 + printable.slice(0, byte).filter((p) => !p).length),
);
const asByteCharacters = (text: string) =>
  [...Buffer.from(text)].map((byte) => byteCharacter[byte] as string);

function write(name: string, files: Record<string, unknown>): string {
  mkdirSync(join(folder, name), { recursive: true });
  for (const [file, json] of Object.entries(files)) {
    writeFileSync(join(folder, name, file), JSON.stringify(json));
  }
  return join(folder, name);
}

const special = (id: number, content: string, isSpecial = true) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: isSpecial,
});

function byteLevel() {
  const words = corpus.split(/(?= )/).map(asByteCharacters);
  const merges = learnMerges(words, 60);
  const tokens = [...byteCharacter, ...merges.map((pair) => pair.join(''))];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const n = tokens.length;
  const json = {
    version: '1.0',
    added_tokens: [
      special(n, '<|endoftext|>'),
      special(n + 1, '<|fim_prefix|>'),
      special(n + 2, '<|fim_suffix|>'),
      special(n + 3, '<|fim_middle|>'),
    ],
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: ' ?\\S+|\\s+' }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: null,
      byte_fallback: false,
      vocab,
      merges: merges.map((m) => m.join(' ')),
    },
  };
  const ranks = new Map(merges.map((pair, i) => [pair.join('\0'), i]));
  const reference = (text: string) =>
    (text.match(/ ?\S+|\s+/gu) ?? []).flatMap((word) =>
      plainBpe(asByteCharacters(word), (l, r) => ranks.get(`${l}\0${r}`)).map(
        (token) => vocab[token] as number,
      ),
    );
  return { json, reference, n };
}

/** As Hugging Face converts LLaMA's tokenizer: spaces as ▁, one in front, bytes for what has no token. */
function sentencePieceStyle(form: 'normalizer' | 'metaspace') {
  const letters = [...new Set(`▁${corpus.replaceAll(' ', '▁')}`)].filter((c) => c !== '🦙' && c !== '\t');
  const merges = learnMerges(
    corpus.split('\n').map((line) => [...`▁${line.replaceAll(' ', '▁')}`]),
    50,
  );
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...merges.map((m) => m.join('')), ...letters];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const bos = { SpecialToken: { id: '<s>', type_id: 0 } };
  const json = {
    version: '1.0',
    added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
    normalizer:
      form === 'metaspace'
        ? null
        : {
            type: 'Sequence',
            normalizers: [
              { type: 'Prepend', prepend: '▁' },
              { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
            ],
          },
    pre_tokenizer:
      form === 'metaspace'
        ? { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false }
        : null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [bos, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [bos, { Sequence: { id: 'A', type_id: 0 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    // The newer form of merges.
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab, merges },
  };
  const ranks = new Map(merges.map((pair, i) => [pair.join('\0'), i]));
  const reference = (text: string, prefix = '▁') =>
    plainBpe([...`${prefix}${text.replaceAll(' ', '▁')}`], (l, r) => ranks.get(`${l}\0${r}`)).flatMap(
      (token) => {
        const id = vocab[token];
        return id === undefined ? [...Buffer.from(token)].map((byte) => 3 + byte) : [id];
      },
    );
  return { json, reference, n: tokens.length };
}

describe('a byte-level tokenizer.json', () => {
  const { json, reference, n } = byteLevel();

  it('encodes as byte-pair encoding is defined, and decodes to the same text', async () => {
    const tokenizer = await loadTokenizer(write('bytes', { 'tokenizer.json': json }));
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      expect(ids, text).toEqual(reference(text));
      expect(tokenizer.decode(ids)).toBe(text);
    }
    expect(tokenizer.vocabSize).toBe(n + 4);
  });

  it('knows the infilling tokens and the end, and has no BOS', async () => {
    const tokenizer = await loadTokenizer(
      write('ends', { 'tokenizer.json': json, 'tokenizer_config.json': { eos_token: '<|endoftext|>' } }),
    );
    expect(tokenizer.infill).toEqual({ prefix: n + 1, suffix: n + 2, middle: n + 3 });
    expect(tokenizer.eosIds).toEqual([n]);
    expect(tokenizer.bosId).toBeUndefined();
    expect(tokenizer.encode('add', { bos: true })).toEqual(reference('add'));
    expect(tokenizer.tokenText(n)).toBe('<|endoftext|>');
    expect(tokenizer.tokenText(97)).toBe('a');
    expect(tokenizer.tokenText(999_999)).toBe('<999999>');
  });

  it('does not infill where tokenizer_config.json says that the model completes better without', async () => {
    const path = write('no infill', { 'tokenizer.json': json, 'tokenizer_config.json': { infill: false } });
    expect((await loadTokenizer(path)).infill).toBeUndefined();
  });

  it('streams characters whole, never half of one', async () => {
    const tokenizer = await loadTokenizer(write('stream', { 'tokenizer.json': json }));
    const text = 'a 漢字 🦙 z';
    const ids = tokenizer.encode(text);
    const stream = tokenizer.stream();
    const pieces = ids.map((id) => stream.push(id));
    expect(pieces.join('') + stream.end()).toBe(text);
    for (const piece of pieces) expect(Buffer.from(piece).toString()).toBe(piece);
    // Cut in the middle of a character.
    const cut = tokenizer.stream();
    expect([...Buffer.from('é')].slice(0, 1).map((byte) => cut.push(byte))).toEqual(['']);
    expect(cut.end()).toBe('\ufffd');
    // Special tokens and ids beyond the vocabulary add nothing.
    expect(tokenizer.decode([...ids, n, 1_000_000, -1])).toBe(text);
  });

  it.each([
    ['StarCoder', ['<fim_prefix>', '<fim_suffix>', '<fim_middle>']],
    ['CodeLlama', ['▁<PRE>', '▁<SUF>', '▁<MID>']],
    ['DeepSeek', ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>']],
  ])('knows the infilling tokens of %s', async (name, tokens) => {
    const added = tokens.map((content, i) => special(n + i, content));
    const path = write(name, { 'tokenizer.json': { ...json, added_tokens: added } });
    expect((await loadTokenizer(path)).infill).toEqual({ prefix: n, suffix: n + 1, middle: n + 2 });
  });

  it('parses added tokens that are not special, such as runs of spaces', async () => {
    const added = [special(n, '\t\t\t', false)];
    const tokenizer = await loadTokenizer(
      write('added', { 'tokenizer.json': { ...json, added_tokens: added } }),
    );
    expect(tokenizer.encode('a\t\t\tb')).toEqual([97, n, 98]);
    expect(tokenizer.decode([97, n, 98])).toBe('a\t\t\tb');
    expect(tokenizer.infill).toBeUndefined();
  });
});

describe.each(['normalizer', 'metaspace'] as const)('a SentencePiece-style tokenizer.json (%s)', (form) => {
  const { json, reference } = sentencePieceStyle(form);

  it('encodes as byte-pair encoding is defined, with BOS where asked, and decodes', async () => {
    const tokenizer = await loadTokenizer(write(form, { 'tokenizer.json': json }));
    expect(tokenizer.bosId).toBe(1);
    expect(tokenizer.eosIds).toEqual([2]);
    for (const text of texts.filter((each) => each !== '')) {
      const ids = tokenizer.encode(text, { bos: true });
      if (form === 'normalizer' || !text.startsWith(' ')) expect(ids, text).toEqual([1, ...reference(text)]);
      // Metaspace takes a text's own first space for the one that it would put there.
      expect(tokenizer.decode(ids)).toBe(text.replace(/^ /, form === 'metaspace' ? '' : ' '));
    }
    expect(tokenizer.encode('', { bos: true })).toEqual([1]);
  });

  it('puts no space before a continuation, and drops none when a prompt is continued', async () => {
    const tokenizer = await loadTokenizer(write(`${form} continued`, { 'tokenizer.json': json }));
    expect(tokenizer.encode('return', { continuation: true })).toEqual(reference('return', ''));
    const ids = tokenizer.encode('return');
    const push = (continuation: boolean) => {
      const stream = tokenizer.stream({ continuation });
      return ids.map((id) => stream.push(id)).join('') + stream.end();
    };
    expect(push(true)).toBe(' return');
    expect(push(false)).toBe('return');
    expect(
      tokenizer
        .stream()
        .push(ids[0] as number)
        .startsWith(' '),
    ).toBe(true);
  });

  it('follows add_bos_token where tokenizer_config.json says it', async () => {
    const path = write(`${form} config`, {
      'tokenizer.json': json,
      'tokenizer_config.json': { bos_token: { content: '<s>' }, eos_token: '</s>', add_bos_token: false },
    });
    expect((await loadTokenizer(path)).bosId).toBeUndefined();
  });
});

describe('bad tokenizers', () => {
  const { json } = byteLevel();
  const load = (name: string, value: unknown) => loadTokenizer(write(name, { 'tokenizer.json': value }));

  it('says that a folder has none, and where to get it', async () => {
    mkdirSync(join(folder, 'none'));
    await expect(loadTokenizer(join(folder, 'none'))).rejects.toMatchObject({
      code: 'no-tokenizer',
      message: expect.stringContaining('copy tokenizer.json') as string,
    });
    await expect(loadTokenizer(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'not-found' });
  });

  it.each([
    ['not JSON', 'bad-file', 'not valid JSON'],
    ['cut', 'bad-file', 'not valid JSON'],
  ])('refuses a file that is %s', async (name, code, message) => {
    mkdirSync(join(folder, name));
    const text = name === 'cut' ? JSON.stringify(json).slice(0, 500) : 'no';
    writeFileSync(join(folder, name, 'tokenizer.json'), text);
    await expect(loadTokenizer(join(folder, name))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(new RegExp(`tokenizer.json.*${message}`)) as string,
    });
  });

  it('refuses what is no BPE, and what it could not decode', async () => {
    await expect(load('unigram', { ...json, model: { type: 'Unigram', vocab: [] } })).rejects.toMatchObject({
      code: 'unsupported',
    });
    await expect(load('decoder', { ...json, decoder: { type: 'CTC' } })).rejects.toThrow('CTC');
    await expect(load('no decoder', { ...json, decoder: null })).rejects.toMatchObject({
      code: 'unsupported',
    });
    await expect(load('no vocab', { ...json, model: { type: 'BPE' } })).rejects.toThrow('model.vocab');
    await expect(
      load('huge id', { ...json, model: { ...json.model, vocab: { a: 1e9 } } }),
    ).rejects.toMatchObject({ code: 'bad-file' });
  });
});
