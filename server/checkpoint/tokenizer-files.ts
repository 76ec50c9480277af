import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { findGguf, readGgufTokenizer } from './gguf/gguf-tokenizer.ts';
import { exists } from './json-file.ts';

/** Files beside the weights that tell how text becomes tokens, and when a text ends. */
export const tokenizerFileNames = [
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer.bin',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'generation_config.json',
  'chat_template.jinja',
] as const;

/**
 * The tokenizer file of a model.
 * @param path the model's folder or file (the tokenizer lies beside it), or the tokenizer file itself
 * @throws no-tokenizer, not-found, unreadable
 */
export async function findTokenizerFile(path: string): Promise<string> {
  let folder = path;
  let names: string[];
  try {
    if (!(await stat(path)).isDirectory()) {
      if (isTokenizerName(basename(path))) return path;
      folder = dirname(path);
    }
    names = await readdir(folder);
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
  for (const name of ['tokenizer.json', 'tokenizer.model', 'tokenizer.bin']) {
    if (names.includes(name)) return join(folder, name);
  }
  const others = names.filter(isTokenizerName);
  if (others.length === 1) return join(folder, others[0] as string);
  throw new OneBitError(
    'no-tokenizer',
    others.length === 0
      ? `${folder} has no tokenizer: copy tokenizer.json (or tokenizer.model) into it from where the model comes from.`
      : `${folder} has several tokenizers (${others.slice(0, 5).join(', ')}): name the right one tokenizer${extname(others[0] as string)}.`,
  );
}

/** Names that tokenizer files have: tokenizer.json, tokenizer.model, tok512.model, tokenizer.bin, tok512.bin. */
export function isTokenizerName(name: string): boolean {
  return name === 'tokenizer.json' || /^tok\w*\.(model|bin)$/.test(name);
}

/** Copies a model's tokenizer and its settings, out of a GGUF file if need be; a model without one copies nothing. */
export async function copyTokenizerFiles(from: string, to: string): Promise<void> {
  let file: string;
  try {
    file = await findTokenizerFile(from);
  } catch (caught) {
    if (caught instanceof OneBitError && caught.code === 'no-tokenizer') return writeGgufTokenizer(from, to);
    throw caught;
  }
  try {
    await copy(file, join(to, `tokenizer${extname(file)}`));
    for (const name of tokenizerFileNames) {
      const source = join(dirname(file), name);
      if (source !== file && (await exists(source))) await copy(source, join(to, name));
    }
  } catch (caught) {
    throw asOneBitError(caught, to);
  }
}

/** Writes the tokenizer that a GGUF file holds, if it does. */
async function writeGgufTokenizer(from: string, to: string): Promise<void> {
  const gguf = await findGguf(from);
  if (gguf === undefined) return;
  try {
    const files = await readGgufTokenizer(gguf).catch((error: unknown) => {
      if (error instanceof OneBitError && error.code === 'no-tokenizer') return undefined;
      throw error;
    });
    for (const [name, bytes] of files ?? []) await writeFile(join(to, name), bytes, { flush: true });
  } catch (caught) {
    throw asOneBitError(caught, to);
  }
}

/** Copies a small file onto the disk itself, as the writer's other files are. */
async function copy(from: string, to: string): Promise<void> {
  await writeFile(to, await readFile(from), { flush: true });
}
