import { extname } from 'node:path';
import { findTokenizerFile } from '../checkpoint/tokenizer-files.ts';
import { OneBitError } from '../protocol/error.ts';
import { readHfTokenizer } from './hf-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * The tokenizer of a model.
 * @param path the model's folder or file (the tokenizer lies beside it), or a tokenizer file
 * @throws no-tokenizer if there is none, and what the readers throw
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const file = await findTokenizerFile(path);
  switch (extname(file)) {
    case '.json':
      return readHfTokenizer(file);
    default:
      throw new OneBitError('unsupported', `${file}: give a tokenizer.json.`);
  }
}
