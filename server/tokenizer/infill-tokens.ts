import type { InfillTokens } from './tokenizer.ts';

/** Names of prefix, suffix and middle tokens, by family. All of them take `prefix` P `suffix` S `middle`. */
const families: readonly (readonly [string, string, string])[] = [
  ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'], // ours, Qwen2.5-Coder, CodeGemma
  ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'], // StarCoder
  ['<fim-prefix>', '<fim-suffix>', '<fim-middle>'], // SantaCoder
  ['▁<PRE>', '▁<SUF>', '▁<MID>'], // CodeLlama
  ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'], // DeepSeek-Coder
];

/** Tokens that end a text, by name, for tokenizers that do not say. */
const endNames = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<｜end▁of▁sentence｜>', '<|end_story|>'];

/** The end of a filled-in middle. */
const infillEndNames = ['▁<EOT>'];

/** @param idOf the id of a token by its exact name */
export function findInfillTokens(idOf: (name: string) => number | undefined): InfillTokens | undefined {
  for (const names of families) {
    const [prefix, suffix, middle] = names.map(idOf);
    if (prefix !== undefined && suffix !== undefined && middle !== undefined) {
      return { prefix, suffix, middle };
    }
  }
  return undefined;
}

/** True for the tokens that `findInfillTokens` looks for, and the end of an infilling. */
export function isInfillName(name: string): boolean {
  return families.some((family) => family.includes(name)) || infillEndNames.includes(name);
}

/** @param said ids that the model's own files give */
export function findEndTokens(
  idOf: (name: string) => number | undefined,
  said: readonly number[],
): readonly number[] {
  const named =
    said.length > 0
      ? []
      : endNames
          .map(idOf)
          .filter((id) => id !== undefined)
          .slice(0, 1);
  const infill = infillEndNames.map(idOf).filter((id) => id !== undefined);
  return [...new Set([...said, ...named, ...infill])];
}
