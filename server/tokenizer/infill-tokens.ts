import type { InfillTokens } from './tokenizer.ts';

interface Family {
  /** Names of the prefix, suffix and middle token. All families take `prefix` P `suffix` S `middle`. */
  names: readonly [string, string, string];
  /** The name of the token that begins a file, where the family was taught to see several. */
  file?: string;
  /** A token that only the family's own vocabulary has: others copied the names of Qwen's, and never trained them. */
  known?: string;
}

const families: readonly Family[] = [
  {
    names: ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'], // ours, Qwen2.5-Coder, CodeGemma
    file: '<|file_sep|>',
    known: '<|im_start|>',
  },
  { names: ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'], file: '<file_sep>' }, // StarCoder, StarCoder2
  { names: ['<fim-prefix>', '<fim-suffix>', '<fim-middle>'] }, // SantaCoder
  { names: ['▁<PRE>', '▁<SUF>', '▁<MID>'] }, // CodeLlama
  { names: ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'] }, // DeepSeek-Coder
];

/** Tokens that end a text, by name, for tokenizers that do not say. */
const endNames = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<｜end▁of▁sentence｜>', '<|end_story|>'];

/** The end of a filled-in middle. */
const infillEndNames = ['▁<EOT>'];

/** @param idOf the id of a token by its exact name */
export function findInfillTokens(idOf: (name: string) => number | undefined): InfillTokens | undefined {
  for (const { names, file, known } of families) {
    const [prefix, suffix, middle] = names.map(idOf);
    if (prefix === undefined || suffix === undefined || middle === undefined) continue;
    const taught = file !== undefined && (known === undefined || idOf(known) !== undefined);
    const fileId = taught ? idOf(file) : undefined;
    return { prefix, suffix, middle, ...(fileId === undefined ? {} : { file: fileId }) };
  }
  return undefined;
}

/** True for the tokens that `findInfillTokens` looks for, and the end of an infilling. */
export function isInfillName(name: string): boolean {
  return families.some(({ names }) => names.includes(name)) || infillEndNames.includes(name);
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
