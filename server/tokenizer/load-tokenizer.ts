import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { exists } from '../checkpoint/json-file.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { readHfTokenizer } from './hf-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * The tokenizer of a model.
 * @param path the model's folder or file (the tokenizer lies beside it), or a tokenizer file
 * @throws no-tokenizer if there is none, and what the readers throw
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  return readTokenizerFile(await findTokenizerFile(path));
}

/** The tokenizer file that `loadTokenizer` would read. @throws no-tokenizer, not-found, unreadable */
export async function findTokenizerFile(path: string): Promise<string> {
  let folder = path;
  try {
    if (!(await stat(path)).isDirectory()) {
      if (isTokenizerName(basename(path))) return path;
      folder = dirname(path);
    }
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
  for (const name of ['tokenizer.json', 'tokenizer.model', 'tokenizer.bin']) {
    if (await exists(join(folder, name))) return join(folder, name);
  }
  const names = await readdir(folder).catch((caught: unknown) => {
    throw asOneBitError(caught, folder);
  });
  const others = names.filter((name) => isTokenizerName(name) && !name.endsWith('.json'));
  if (others.length === 1) return join(folder, others[0] as string);
  throw new OneBitError(
    'no-tokenizer',
    others.length === 0
      ? `${folder} has no tokenizer: copy tokenizer.json (or tokenizer.model) into it from where the model comes from.`
      : `${folder} has several tokenizers (${others.slice(0, 5).join(', ')}): name the right one tokenizer${extname(others[0] as string)}.`,
  );
}

/** Names that tokenizer files have: tokenizer.json, tokenizer.model, tok512.model, tokenizer.bin, tok512.bin. */
function isTokenizerName(name: string): boolean {
  return name === 'tokenizer.json' || /^tok\w*\.(model|bin|json)$/.test(name);
}

async function readTokenizerFile(path: string): Promise<Tokenizer> {
  switch (extname(path)) {
    case '.json':
      return readHfTokenizer(path);
    default:
      throw new OneBitError('unsupported', `${path}: give a tokenizer.json.`);
  }
}
