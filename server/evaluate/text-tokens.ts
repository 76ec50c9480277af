import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { readText } from './read-text.ts';

/** A text as a model reads it. */
export interface TextTokens {
  /** BOS first, where the model has one. */
  ids: number[];
  /** Tokens a byte of UTF-8, over the whole text; BOS left out. */
  tokensPerByte: number;
  /** The text's beginning. */
  sample: string;
}

const sampleCharacters = 1 << 16;

/** @throws not-found, unreadable, unsupported, bad-file */
export async function readTextTokens(file: string, tokenizer: Tokenizer): Promise<TextTokens> {
  const text = await readText(file);
  const ids = tokenizer.encode(text, { bos: true });
  const count = ids.length - (tokenizer.bosId === undefined ? 0 : 1);
  return {
    ids,
    tokensPerByte: count / Math.max(Buffer.byteLength(text), 1),
    sample: text.slice(0, sampleCharacters),
  };
}

/**
 * Bits a byte of the text: comparable between models whose tokenizers differ, which perplexity is not.
 * @param nll mean negative log-likelihood a token, in nats
 */
export function bitsPerByte(nll: number, { tokensPerByte }: Pick<TextTokens, 'tokensPerByte'>): number {
  return (nll / Math.LN2) * tokensPerByte;
}
