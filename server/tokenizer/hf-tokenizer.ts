import { dirname, join } from 'node:path';
import { Tokenizer as HfParts } from '@huggingface/tokenizers';
import { z } from 'zod';
import { exists, readJson } from '../checkpoint/json-file.ts';
import { OneBitError } from '../protocol/error.ts';
import { finish } from './in-slices.ts';
import { findEndTokens, findInfillTokens } from './infill-tokens.ts';
import { byteOfPiece, bytePiece, decodeTokens, streamTokens, type TokenBytes } from './token-bytes.ts';
import type { EncodeOptions, Tokenizer, TokenizerOptions } from './tokenizer.ts';
import { WordCutter } from './word-cutter.ts';
import { WordEncoder } from './word-encoder.ts';

const maxTokenizerBytes = 200 << 20;
const maxVocabulary = 1 << 24;
/** Characters of a word that is halted within. */
const longWord = 64;
/** Characters of text between two halts. */
const workBetweenHalts = 1 << 13;

const part = z.looseObject({ type: z.string() });
const tokenizerSchema = z.looseObject({
  model: z.looseObject({
    type: z.string().nullish(),
    vocab: z.record(z.string(), z.int().min(0).max(maxVocabulary)),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
    unk_token: z.string().nullish(),
    fuse_unk: z.boolean().nullish(),
    byte_fallback: z.boolean().nullish(),
    ignore_merges: z.boolean().nullish(),
  }),
  added_tokens: z
    .array(
      z.looseObject({
        id: z.int().min(0).max(maxVocabulary),
        content: z.string().min(1),
        special: z.boolean().default(false),
      }),
    )
    .default([]),
  normalizer: part.nullable().default(null),
  pre_tokenizer: part.nullable().default(null),
  post_processor: part.nullable().default(null),
  decoder: part.nullable().default(null),
});
type TokenizerJson = z.infer<typeof tokenizerSchema>;

const namedToken = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const tokenizerConfigSchema = z.looseObject({
  bos_token: namedToken,
  eos_token: namedToken,
  add_bos_token: z.boolean().nullish(),
  // Ours: false where a model has the tokens for infilling but completes better without.
  infill: z.boolean().nullish(),
});

/** A tokenizer.json, and what lies beside it; undefined where there is none. */
export interface HfTokenizerFiles {
  tokenizer: unknown;
  /** tokenizer_config.json, or special_tokens_map.json. */
  config?: unknown;
  /** generation_config.json. */
  generation?: unknown;
}

/**
 * Reads a Hugging Face tokenizer.json (BPE, byte-level or SentencePiece-style), with what
 * tokenizer_config.json and generation_config.json beside it say of BOS and EOS.
 * @throws not-found, unreadable, bad-file, unsupported: the message names the file
 */
export async function readHfTokenizer(path: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
  const beside = async (...names: string[]): Promise<unknown> => {
    for (const name of names) {
      const file = join(dirname(path), name);
      if (await exists(file)) return readJson(file);
    }
    return undefined;
  };
  const files: HfTokenizerFiles = {
    tokenizer: await readJson(path, maxTokenizerBytes),
    config: await beside('tokenizer_config.json', 'special_tokens_map.json'),
    generation: await beside('generation_config.json'),
  };
  return hfTokenizerOf(files, path, options);
}

/**
 * The tokenizer that such files describe.
 * @param path where they come from, for messages
 * @throws bad-file, unsupported
 */
export function hfTokenizerOf(
  { tokenizer: json, config: configJson, generation }: HfTokenizerFiles,
  path: string,
  { forceInfill = false }: TokenizerOptions = {},
): Tokenizer {
  const type =
    typeof json === 'object' && json !== null && 'model' in json
      ? (json.model as { type?: unknown } | null)?.type
      : undefined;
  if (typeof type === 'string' && type !== 'BPE') {
    throw new OneBitError('unsupported', `${path}: its model is ${type.slice(0, 40)}; LLaMA models use BPE.`);
  }
  const parsed = tokenizerSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new OneBitError(
      'bad-file',
      `${path}: ${issue?.path.slice(0, 3).join('.') || 'the file'}: ${issue?.message ?? 'not valid'}; copy or download it again.`,
    );
  }
  const said = specialNames(configJson, path);
  const config = { ...said, infill: said.infill || forceInfill };
  try {
    return new HfTokenizer(parsed.data, config, generationEnds(generation), path);
  } catch (caught) {
    if (caught instanceof OneBitError) throw caught;
    throw new OneBitError(
      'unsupported',
      `${path} cannot be used: ${caught instanceof Error ? caught.message : 'unknown error'}`,
      { cause: caught },
    );
  }
}

interface SpecialNames {
  bos: string | undefined;
  eos: string | undefined;
  addBos: boolean | undefined;
  infill: boolean;
}

function specialNames(config: unknown, path: string): SpecialNames {
  const nameOf = (token: z.infer<typeof namedToken>) =>
    (typeof token === 'string' ? token : token?.content) ?? undefined;
  if (config === undefined) return { bos: undefined, eos: undefined, addBos: undefined, infill: true };
  const parsed = tokenizerConfigSchema.safeParse(config);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new OneBitError(
      'bad-file',
      `${dirname(path)}: the settings of the tokenizer: ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  const { bos_token: bos, eos_token: eos, add_bos_token: addBos, infill } = parsed.data;
  return { bos: nameOf(bos), eos: nameOf(eos), addBos: addBos ?? undefined, infill: infill ?? true };
}

/** The EOS ids of generation_config.json, which chat models widen. */
function generationEnds(json: unknown): number[] {
  const value = typeof json === 'object' && json !== null && 'eos_token_id' in json ? json.eos_token_id : [];
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isSafeInteger(id));
}

class HfTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosIds: readonly number[];
  readonly infill;
  readonly special: ReadonlyMap<string, number>;
  readonly #cutter: (continuation: boolean) => WordCutter;
  readonly #words: WordEncoder;
  readonly #names: readonly (string | undefined)[];
  readonly #table: TokenBytes;

  constructor(json: TokenizerJson, special: SpecialNames, ends: readonly number[], path: string) {
    const ids = new Map(Object.entries(json.model.vocab));
    for (const token of json.added_tokens) ids.set(token.content, token.id);
    const names: string[] = [];
    for (const [name, id] of ids) names[id] = name;
    this.#names = names;
    this.vocabSize = names.length;
    this.#table = tokenBytes(json, names, path);
    const idOf = (name: string) => ids.get(name);
    this.special = new Map(
      json.added_tokens.filter((token) => token.special).map(({ content, id }) => [content, id]),
    );

    this.#cutter = plainCutters(json);
    this.#words = wordEncoder(json, this.#cutter(false).bytes);
    this.infill = special.infill ? findInfillTokens(idOf) : undefined;
    const eos = special.eos === undefined ? undefined : idOf(special.eos);
    this.eosIds = findEndTokens(idOf, [...(eos === undefined ? [] : [eos]), ...ends]);
    const bos = special.bos === undefined ? undefined : idOf(special.bos);
    this.bosId =
      special.addBos === false ? undefined : special.addBos === true ? bos : templateBos(json, idOf);
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    return finish(this.encoding(text, options));
  }

  *encoding(
    text: string,
    { bos = false, continuation = false }: EncodeOptions = {},
  ): Generator<undefined, number[]> {
    const ids: number[] = bos && this.bosId !== undefined ? [this.bosId] : [];
    if (text === '') return ids;
    let work = 0;
    for (const word of this.#cutter(continuation).cut(text)) {
      if (typeof word === 'number') ids.push(word);
      else if (word.length <= longWord) this.#words.add(word, ids);
      else yield* this.#words.steps(word, ids);
      work += typeof word === 'number' ? 1 : word.length;
      if (work < workBetweenHalts) continue;
      work = 0;
      yield;
    }
    return ids;
  }

  decode(ids: readonly number[], { continuation = false } = {}): string {
    return decodeTokens(this.#table, ids, continuation);
  }

  stream({ continuation = true } = {}) {
    return streamTokens(this.#table, continuation);
  }

  tokenText(id: number): string {
    const bytes = this.#table.bytes[id];
    return bytes === undefined ? (this.#names[id] ?? `<${id}>`) : new TextDecoder().decode(bytes);
  }

  tokenBytes(id: number): Uint8Array {
    return this.#table.bytes[id] ?? new TextEncoder().encode(this.tokenText(id));
  }
}

/**
 * Cutters of plain text: they do not know the special tokens, and so take their names for text. The one for
 * continuations puts no space first.
 */
function plainCutters(json: TokenizerJson): (continuation: boolean) => WordCutter {
  const named = json.added_tokens.filter((token) => !token.special);
  // The package only cuts: tokens are our own work.
  const plain = {
    ...json,
    model: { type: 'BPE', vocab: {}, merges: [] },
    post_processor: null,
    added_tokens: [],
  };
  const make = (settings: object) =>
    new WordCutter(new HfParts({ ...plain, ...settings }, { clean_up_tokenization_spaces: false }), named);
  const whole = make({});
  let continued: WordCutter | undefined;
  return (continuation) => {
    if (!continuation) return whole;
    continued ??= make({
      normalizer: withoutPrefix(json.normalizer),
      pre_tokenizer: withoutPrefix(json.pre_tokenizer),
    });
    return continued;
  };
}

function wordEncoder({ model, added_tokens: added }: TokenizerJson, bytes: boolean): WordEncoder {
  if (Boolean(model.end_of_word_suffix) || Boolean(model.continuing_subword_prefix)) {
    throw new Error('its BPE marks the parts of words, which no LLaMA tokenizer does');
  }
  const vocabulary = new Map(Object.entries(model.vocab));
  for (const token of added) if (!token.special) vocabulary.set(token.content, token.id);
  const fallbackBytes = Array.from({ length: 256 }, (_, byte) => vocabulary.get(bytePiece(byte)));
  return new WordEncoder({
    vocabulary,
    merges: model.merges.map((merge) => (typeof merge === 'string' ? splitMerge(merge) : merge)),
    ...(bytes ? { byteCharacters } : {}),
    ...(model.byte_fallback ? { fallbackBytes } : {}),
    unknownId: typeof model.unk_token === 'string' ? vocabulary.get(model.unk_token) : undefined,
    fuseUnknown: model.fuse_unk ?? false,
    wholeWords: model.ignore_merges ?? false,
  });
}

function splitMerge(merge: string): [string, string] {
  const space = merge.indexOf(' ');
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** The BOS that the post-processor's template puts first, if it does. */
function templateBos(json: TokenizerJson, idOf: (name: string) => number | undefined): number | undefined {
  for (const processor of parts(json.post_processor)) {
    const template = processor.type === 'TemplateProcessing' ? processor.single : undefined;
    const parsed = z
      .tuple([z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }) })], z.unknown())
      .safeParse(template);
    if (parsed.success) return idOf(parsed.data[0].SpecialToken.id);
  }
  return undefined;
}

type Part = z.infer<typeof part>;

/** The parts of a Sequence, or the part itself. */
function parts(component: Part | null): Part[] {
  if (component === null) return [];
  const inner =
    component.normalizers ?? component.pretokenizers ?? component.decoders ?? component.processors;
  return component.type === 'Sequence' && Array.isArray(inner)
    ? (inner as Part[]).flatMap((each) => parts(each))
    : [component];
}

/** A normalizer or pre-tokenizer that puts no space before the text. */
function withoutPrefix(component: Part | null): Part | null {
  if (component === null || component.type === 'Prepend') return null;
  if (component.type === 'Metaspace') {
    return { ...component, add_prefix_space: false, prepend_scheme: 'never' };
  }
  if (component.type === 'ByteLevel') return { ...component, add_prefix_space: false };
  for (const list of ['normalizers', 'pretokenizers']) {
    const inner = component[list];
    if (Array.isArray(inner)) {
      return { ...component, [list]: inner.map((each) => withoutPrefix(each as Part)).filter(Boolean) };
    }
  }
  return component;
}

/** What each token decodes to, by the tokenizer's decoder. */
function tokenBytes(json: TokenizerJson, names: readonly (string | undefined)[], path: string): TokenBytes {
  const decoders = parts(json.decoder);
  const byteLevel = decoders.some(({ type }) => type === 'ByteLevel');
  const metaspace = decoders.find(({ type }) => type === 'Metaspace');
  const pieces = metaspace !== undefined || decoders.some((each) => each.type === 'Replace');
  if (!byteLevel && !pieces) {
    throw new OneBitError(
      'unsupported',
      `${path}: its decoder is ${json.decoder?.type ?? 'missing'}; byte-level and SentencePiece-style decoders are supported.`,
    );
  }
  const byteFallback = decoders.some(({ type }) => type === 'ByteFallback');
  const leadingSpace =
    metaspace !== undefined
      ? metaspace.prepend_scheme !== 'never' && metaspace.add_prefix_space !== false
      : decoders.some((each) => each.type === 'Strip' && Number(each.start) > 0);
  const encoder = new TextEncoder();
  const bytes = names.map((name) => {
    if (name === undefined) return undefined;
    if (byteLevel) return byteLevelBytes(name) ?? encoder.encode(name);
    const byte = byteFallback ? byteOfPiece(name) : undefined;
    return byte === undefined ? encoder.encode(name.replaceAll('▁', ' ')) : Uint8Array.of(byte);
  });
  for (const token of json.added_tokens) {
    bytes[token.id] = token.special ? undefined : encoder.encode(token.content);
  }
  return { bytes, leadingSpace };
}

/**
 * The characters that stand for bytes in byte-level tokens. GPT-2's vocabulary files write each byte as a printable
 * character: printable Latin-1 bytes as themselves, the others as U+0100 and up in order.
 */
const byteCharacters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCodePoint(printable ? byte : next++);
  });
})();
const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  byteCharacters.map((character, byte) => [character, byte]),
);

/** The bytes of a byte-level token; undefined for what is none. */
function byteLevelBytes(token: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
