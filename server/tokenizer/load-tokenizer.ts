import { extname } from 'node:path';
import { findTokenizerFile } from '../checkpoint/tokenizer-files.ts';
import { readHfTokenizer } from './hf-tokenizer.ts';
import { readLlama2cTokenizer } from './llama2c-tokenizer.ts';
import { readSentencePieceModel } from './sentencepiece-model.ts';
import type { Tokenizer, TokenizerOptions } from './tokenizer.ts';

/**
 * The tokenizer of a model: tokenizer.json, tokenizer.model (SentencePiece) or llama2.c's tokenizer.bin.
 * @param path the model's folder or file (the tokenizer lies beside it), or a tokenizer file
 * @throws no-tokenizer if there is none, and what the readers throw
 */
export async function loadTokenizer(path: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
  const file = await findTokenizerFile(path);
  switch (extname(file)) {
    case '.json':
      return readHfTokenizer(file, options);
    case '.model':
      return readSentencePieceModel(file);
    default:
      return readLlama2cTokenizer(file);
  }
}
