import { extname } from 'node:path';
import { findGguf, readGgufTokenizer } from '../checkpoint/gguf/gguf-tokenizer.ts';
import { findTokenizerFile } from '../checkpoint/tokenizer-files.ts';
import { OneBitError } from '../protocol/error.ts';
import { hfTokenizerOf, readHfTokenizer } from './hf-tokenizer.ts';
import { readLlama2cTokenizer } from './llama2c-tokenizer.ts';
import { readSentencePieceModel, sentencePieceModelOf } from './sentencepiece-model.ts';
import type { Tokenizer, TokenizerOptions } from './tokenizer.ts';

/**
 * The tokenizer of a model: tokenizer.json, tokenizer.model (SentencePiece) or llama2.c's tokenizer.bin; where none of
 * these lies beside a GGUF file, the one in its metadata.
 * @param path the model's folder or file (the tokenizer lies beside it), or a tokenizer file
 * @throws no-tokenizer if there is none, and what the readers throw
 */
export async function loadTokenizer(path: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
  let file: string;
  try {
    file = await findTokenizerFile(path);
  } catch (caught) {
    const own =
      caught instanceof OneBitError && caught.code === 'no-tokenizer'
        ? await ggufTokenizer(path, options)
        : undefined;
    if (own === undefined) throw caught;
    return own;
  }
  switch (extname(file)) {
    case '.json':
      return readHfTokenizer(file, options);
    case '.model':
      return readSentencePieceModel(file);
    default:
      return readLlama2cTokenizer(file);
  }
}

async function ggufTokenizer(path: string, options: TokenizerOptions): Promise<Tokenizer | undefined> {
  const gguf = await findGguf(path);
  const files = gguf === undefined ? undefined : await readGgufTokenizer(gguf);
  if (gguf === undefined || files === undefined) return undefined;
  const pieces = files.get('tokenizer.model');
  if (pieces !== undefined) return sentencePieceModelOf(pieces, gguf);
  const json = (name: string): unknown => parseJson(files.get(name), gguf);
  return hfTokenizerOf(
    {
      tokenizer: json('tokenizer.json'),
      config: json('tokenizer_config.json'),
      generation: json('generation_config.json'),
    },
    gguf,
    options,
  );
}

function parseJson(bytes: Uint8Array | undefined, path: string): unknown {
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
  } catch (caught) {
    throw new OneBitError('bad-file', `${path}: the tokenizer.json in its metadata is no JSON.`, {
      cause: caught,
    });
  }
}
