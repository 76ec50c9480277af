import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A tokenizer.json of one token a byte, and fill-in-the-middle tokens after them. Shares no code with server/. */
export const byteTokens = { prefix: 256, suffix: 257, middle: 258, end: 259, vocabSize: 264 } as const;

/**
 * Writes the tokenizer into a model's folder, whose vocabulary must be `byteTokens.vocabSize`; `end` adds a token
 * that ends texts, `swapped` gives each byte another token.
 */
export function writeByteTokenizer(
  folder: string,
  options: { infill?: boolean; end?: boolean; swapped?: boolean } = {},
): void {
  const vocab: Record<string, number> = {};
  byteCharacters().forEach((character, byte) => (vocab[character] = options.swapped ? 255 - byte : byte));
  const special = (id: number, content: string): object => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  });
  const infill = [
    special(byteTokens.prefix, '<|fim_prefix|>'),
    special(byteTokens.suffix, '<|fim_suffix|>'),
    special(byteTokens.middle, '<|fim_middle|>'),
  ];
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      ...(options.infill === false ? [] : infill),
      ...(options.end === true ? [special(byteTokens.end, '<|endoftext|>')] : []),
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', dropout: null, unk_token: null, fuse_unk: false, vocab, merges: [] },
  };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
}

/** The character by which byte-level BPE (GPT-2) writes each byte: itself where printable, otherwise one from U+0100. */
function byteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
}
