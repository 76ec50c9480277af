import { PairMerger, type Merge } from './pair-merger.ts';
import { bytesOfCharacter } from './token-bytes.ts';

const maxCachedWords = 20_000;
const minCachedLength = 4;
const maxCachedLength = 64;
/** V8 keeps the whole text for each part of it that is at least so long. */
const sliceLength = 13;

export interface WordEncoderOptions {
  /** Ids of token texts. */
  vocabulary: ReadonlyMap<string, number>;
  /** Pairs of token texts, in order of rank. */
  merges: readonly (readonly [string, string])[];
  /** Where words are merged as UTF-8 bytes: the character that stands for each byte in token texts. */
  byteCharacters?: readonly string[];
  /** The ids of single bytes, for characters that have no token; undefined where the tokenizer has none. */
  fallbackBytes?: readonly (number | undefined)[];
  /** For what has no token and no bytes; undefined: it is left out. */
  unknownId?: number;
  /** Unknown tokens in a row are one. */
  fuseUnknown?: boolean;
  /** A word that is a token is not merged. */
  wholeWords?: boolean;
}

/**
 * Makes tokens of the words of a text by byte-pair encoding. `@huggingface/tokenizers` builds strings for every pair
 * and every token that it looks at; this does the same in numbers, several times as fast.
 */
export class WordEncoder {
  readonly #options: WordEncoderOptions;
  /** Symbols of token texts and of characters, in the order in which they came. */
  readonly #symbols = new Map<string, number>();
  /** The id of each symbol; −1 where its text is no token. */
  readonly #ids: Int32Array;
  readonly #texts: string[] = [];
  /** The symbol of each byte, or of each character of the Basic Multilingual Plane; −1 where no merge knows it. */
  readonly #first: Int32Array;
  readonly #merger: PairMerger;
  /** Characters of the longest token. */
  readonly #longest: number;
  readonly #cache = new Map<string, Int32Array>();
  readonly #encoder = new TextEncoder();
  readonly #bytes = new Uint8Array(3 * maxCachedLength);
  readonly #short = new Int32Array(3 * maxCachedLength);

  constructor(options: WordEncoderOptions) {
    this.#options = options;
    const { merges, byteCharacters, vocabulary } = options;
    this.#merger = new PairMerger(
      merges.map(([left, right], rank): Merge => ({
        left: this.#symbol(left),
        right: this.#symbol(right),
        merged: this.#symbol(left + right),
        rank,
      })),
    );
    if (byteCharacters === undefined) {
      // Characters that merge with nothing are tokens all the same.
      for (const text of vocabulary.keys()) if (Array.from(text).length === 1) this.#symbol(text);
      this.#first = new Int32Array(0x10000).fill(-1);
      for (const [text, symbol] of this.#symbols)
        if (text.length === 1) this.#first[text.charCodeAt(0)] = symbol;
    } else {
      this.#first = Int32Array.from(byteCharacters, (character) => this.#symbol(character));
    }
    this.#longest = [...vocabulary.keys()].reduce((most, { length }) => Math.max(most, length), 0);
    this.#ids = Int32Array.from(this.#texts, (text) => vocabulary.get(text) ?? -1);
  }

  /** Adds a word's tokens to `ids`. The halts are those of `PairMerger.steps`. */
  *steps(word: string, ids: number[]): Generator<undefined, void> {
    const whole = this.#wholeWord(word);
    if (whole !== undefined) return this.#push(whole, ids);
    const symbols = this.#symbolsOf(word);
    const merged = yield* this.#merger.steps(symbols);
    let halted = 0;
    for (let i = 0; i < merged.length; i++) {
      this.#pushSymbol(merged[i] as number, ids);
      if (i - halted < 1 << 16) continue;
      halted = i;
      yield;
    }
  }

  /** Adds a word's tokens to `ids`: for words that are no whole texts. */
  add(word: string, ids: number[]): void {
    // The shortest are merged as fast as they are found.
    if (word.length < minCachedLength || word.length > maxCachedLength) return this.#encode(word, ids);
    let cached = this.#cache.get(word);
    if (cached === undefined) {
      const own: number[] = [];
      this.#encode(word, own);
      cached = Int32Array.from(own);
      this.#remember(word, cached);
    }
    for (const id of cached) this.#push(id, ids);
  }

  #encode(word: string, ids: number[]): void {
    const whole = this.#wholeWord(word);
    if (whole !== undefined) return this.#push(whole, ids);
    for (const symbol of this.#merger.merge(this.#symbolsOf(word))) this.#pushSymbol(symbol, ids);
  }

  #remember(word: string, ids: Int32Array): void {
    if (this.#cache.size >= maxCachedWords) this.#cache.clear();
    const own = word.length < sliceLength ? word : Buffer.from(word, 'utf16le').toString('utf16le');
    this.#cache.set(own, ids);
  }

  #wholeWord(word: string): number | undefined {
    const { wholeWords = false, byteCharacters, vocabulary } = this.#options;
    if (!wholeWords) return undefined;
    if (byteCharacters === undefined) return vocabulary.get(word);
    if (word.length > this.#longest) return undefined;
    return vocabulary.get(Array.from(this.#encoder.encode(word), (byte) => byteCharacters[byte]).join(''));
  }

  /** Symbols of the word's bytes or characters; a character that no merge knows is −1 − its code point. */
  #symbolsOf(word: string): Int32Array {
    if (this.#options.byteCharacters !== undefined) {
      if (word.length <= maxCachedLength) {
        const { written } = this.#encoder.encodeInto(word, this.#bytes);
        for (let i = 0; i < written; i++) this.#short[i] = this.#first[this.#bytes[i] as number] as number;
        return this.#short.subarray(0, written);
      }
      // `Int32Array.from` would take half a second for the longest texts: it walks an iterator.
      const bytes = this.#encoder.encode(word);
      const symbols = new Int32Array(bytes.length);
      for (let i = 0; i < bytes.length; i++) symbols[i] = this.#first[bytes[i] as number] as number;
      return symbols;
    }
    const symbols = new Int32Array(word.length);
    let length = 0;
    for (let i = 0; i < word.length; i++) {
      const code = word.codePointAt(i) as number;
      let symbol: number | undefined;
      if (code < 0x10000) symbol = this.#first[code] as number;
      else {
        symbol = this.#symbols.get(String.fromCodePoint(code)) ?? -1;
        i++;
      }
      symbols[length++] = symbol >= 0 ? symbol : -1 - code;
    }
    return symbols.subarray(0, length);
  }

  #pushSymbol(symbol: number, ids: number[]): void {
    const id = symbol < 0 ? -1 : (this.#ids[symbol] as number);
    if (id >= 0) return this.#push(id, ids);
    const { fallbackBytes, unknownId } = this.#options;
    if (fallbackBytes !== undefined) {
      const bytes =
        symbol < 0 ? bytesOfCharacter(-1 - symbol) : [...this.#encoder.encode(this.#texts[symbol] as string)];
      const known = bytes.map((byte) => fallbackBytes[byte]);
      if (known.every((each) => each !== undefined)) return void ids.push(...known);
    }
    if (unknownId !== undefined) this.#push(unknownId, ids);
  }

  #push(id: number, ids: number[]): void {
    const { fuseUnknown, unknownId } = this.#options;
    if (fuseUnknown === true && id === unknownId && ids.at(-1) === id) return;
    ids.push(id);
  }

  #symbol(text: string): number {
    let symbol = this.#symbols.get(text);
    if (symbol === undefined) {
      symbol = this.#texts.length;
      this.#symbols.set(text, symbol);
      this.#texts.push(text);
    }
    return symbol;
  }
}
