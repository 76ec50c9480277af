import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { asOneBitError, OneBitError } from '../../protocol/error.ts';
import { DataFile } from '../data-file.ts';
import { bytePairJson } from './byte-pair-json.ts';
import { readGgufHeader, type GgufValue } from './gguf-header.ts';
import { addsBos, specialId, vocabularyOf, type GgufVocabulary } from './gguf-vocabulary.ts';
import { sentencePieceBytes } from './sentencepiece-bytes.ts';

/**
 * The tokenizer that a GGUF file holds in its metadata, as the files that it was made from: tokenizer.json (byte-pair
 * encoding) or tokenizer.model (SentencePiece), with tokenizer_config.json and generation_config.json.
 * @param path a .gguf file
 * @returns contents by file name; undefined where the file holds none
 * @throws bad-file, no-tokenizer (another kind of tokenizer, unknown rules of cutting words), and what opening throws
 */
export async function readGgufTokenizer(path: string): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const file = await DataFile.open(path);
  let metadata: ReadonlyMap<string, GgufValue>;
  try {
    ({ metadata } = await readGgufHeader(file));
  } finally {
    await file.close();
  }
  const value = (name: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${name}`);
  const model = value('model');
  if (model === undefined || model === 'none' || model === 'no_vocab') return undefined;
  const vocabulary = vocabularyOf(value, path);
  const files = new Map<string, Uint8Array>();
  const whole = metadata.get('tokenizer.huggingface.json');
  if (typeof whole === 'string') files.set('tokenizer.json', encode(whole));
  else if (model === 'gpt2') {
    files.set('tokenizer.json', encode(JSON.stringify(bytePairJson(vocabulary, path))));
  } else if (model === 'llama') files.set('tokenizer.model', sentencePieceBytes(vocabulary, path));
  else {
    throw new OneBitError(
      'no-tokenizer',
      `${path}: its tokenizer is of the kind ${JSON.stringify(model).slice(0, 60)}; "llama" and "gpt2" are read. Put the model's tokenizer.json beside it.`,
    );
  }
  const template = metadata.get('tokenizer.chat_template');
  files.set('tokenizer_config.json', encode(JSON.stringify(configOf(vocabulary, template))));
  files.set('generation_config.json', encode(JSON.stringify({ eos_token_id: endsOf(vocabulary) })));
  return files;
}

/** The GGUF file of a model: the file itself, or the only one of a folder. @throws not-found, unreadable */
export async function findGguf(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return path.endsWith('.gguf') ? path : undefined;
    const names = (await readdir(path)).filter((name) => name.endsWith('.gguf'));
    return names.length === 1 ? join(path, names[0] as string) : undefined;
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
}

/** What tokenizer_config.json would say. */
function configOf(vocabulary: GgufVocabulary, template: GgufValue | undefined): Record<string, unknown> {
  const named = (name: string): string | null => {
    const id = specialId(vocabulary, name);
    return id === undefined ? null : (vocabulary.tokens[id] as string);
  };
  return {
    bos_token: named('bos'),
    eos_token: named('eos'),
    add_bos_token: addsBos(vocabulary),
    ...(typeof template === 'string' ? { chat_template: template } : {}),
  };
}

function endsOf(vocabulary: GgufVocabulary): number[] {
  const ids = ['eos', 'eot'].map((name) => specialId(vocabulary, name)).filter((id) => id !== undefined);
  return [...new Set(ids)];
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
