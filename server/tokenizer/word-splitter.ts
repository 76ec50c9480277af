import { PairMerger, type Merge } from './pair-merger.ts';

const maxCachedWords = 20_000;
const maxCachedLength = 256;

/**
 * Splits a word into the tokens of a tokenizer.json's BPE. `@huggingface/tokenizers` builds a JSON string for
 * every pair that it looks at; this does the same merges in numbers, about ten times as fast.
 */
export class WordSplitter {
  readonly #symbols = new Map<string, number>();
  readonly #texts: string[] = [];
  readonly #merger: PairMerger;
  readonly #cache = new Map<string, string[]>();

  /** @param merges pairs of token texts, in order of rank */
  constructor(merges: readonly (readonly [string, string])[]) {
    this.#merger = new PairMerger(
      merges.map(([left, right], rank): Merge => ({
        left: this.#symbol(left),
        right: this.#symbol(right),
        merged: this.#symbol(left + right),
        rank,
      })),
    );
  }

  split(word: string): string[] {
    const cached = this.#cache.get(word);
    if (cached !== undefined) return cached;
    const characters = Array.from(word);
    // A character that no merge knows stands for itself, by its place.
    const symbols = Int32Array.from(characters, (character, i) => this.#symbols.get(character) ?? -3 - i);
    const tokens: string[] = [];
    for (const symbol of this.#merger.merge(symbols)) {
      tokens.push((symbol >= 0 ? this.#texts[symbol] : characters[-3 - symbol]) as string);
    }
    if (word.length <= maxCachedLength) {
      if (this.#cache.size >= maxCachedWords) this.#cache.clear();
      this.#cache.set(word, tokens);
    }
    return tokens;
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
