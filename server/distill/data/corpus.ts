import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { OneBitError, asOneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { hashText } from '../random.ts';

/** One file's text, or one line of a .jsonl. */
export interface Document {
  path: string;
  text: string;
}

export interface Corpus {
  documents: Document[];
  /** UTF-16 code units over all documents. */
  characters: number;
  /** Files in folders that were passed over: binary, too large, or minified. */
  skipped: number;
}

/** A folder's files above this size are data or bundles, not source. */
const largestFolderFile = 2 << 20;
/** Folders that a walk does not enter (one that is named itself is read). */
const closedFolders = new Set(['node_modules', '__pycache__', 'target', 'venv']);

/**
 * Reads files and folders of text or source code, and .jsonl(.gz) files whose lines are objects with
 * `text` and perhaps `path`. Folders are walked in name order; hidden, binary, minified and very
 * large files in them are passed over, and so are .jsonl of another kind, model checkpoints and the
 * folders of training runs: what a run writes beside its data must not become its data.
 * Throws not-found, unreadable, bad-file (a named file that is binary, or with a line that is not JSON or
 * has no text: with its number) and bad-value (nothing to read).
 */
export async function readCorpus(
  paths: readonly string[],
  options: { signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<Corpus> {
  const corpus: Corpus = { documents: [], characters: 0, skipped: 0 };
  const add = (document: Document): void => {
    if (document.text === '') return;
    corpus.documents.push(document);
    corpus.characters += document.text.length;
  };
  for (const path of paths) {
    const before = corpus.documents.length;
    const facts = await stat(path).catch((error: unknown) => {
      throw asOneBitError(error, path);
    });
    if (facts.isDirectory()) {
      for await (const file of walk(path, true)) {
        throwIfCancelled(options.signal);
        const documents = isLines(file)
          ? await readFolderLines(file, options.signal)
          : await readFolderFile(file);
        if (documents === undefined) corpus.skipped++;
        else documents.forEach(add);
        options.onProgress?.({
          phase: 'read data',
          done: corpus.documents.length,
          total: 0,
          unit: 'files',
          message: file,
        });
      }
    } else if (isLines(path)) {
      await readLines(path, add, options.signal);
    } else {
      const text = textOf(await readFile(path));
      if (text === undefined) {
        throw new OneBitError('bad-file', `${path} is not text: give text, source code or .jsonl files.`);
      }
      add({ path, text });
    }
    if (corpus.documents.length === before) {
      throw new OneBitError('bad-value', `${path} holds no text to train on.`);
    }
  }
  return corpus;
}

/**
 * Sets whole files aside until they make `share` of the characters, chosen by a hash of path and
 * seed: the same file falls on the same side whatever else is in the corpus. Files of the same path
 * stay together. A corpus of a single file is cut at a line end instead.
 */
export function splitHeldOut(
  documents: readonly Document[],
  share: number,
  seed: number,
): { train: Document[]; heldOut: Document[] } {
  const [only] = documents;
  if (only === undefined || share <= 0) return { train: [...documents], heldOut: [] };
  const paths = new Set(documents.map((document) => document.path));
  if (paths.size === 1) return splitText(documents.map((d) => d.text).join('\n'), only.path, share);
  const limit = share * 2 ** 32;
  const rank = new Map([...paths].map((path) => [path, hashText(`${seed} ${path}`)]));
  const ranks = [...rank.values()].sort((a, b) => a - b);
  // At least one file on each side, whatever the share.
  const first = ranks[0] ?? 0;
  const last = ranks[ranks.length - 1] ?? 0;
  const isHeldOut = (document: Document): boolean => {
    const r = rank.get(document.path) ?? 0;
    return r === first || (r < limit && r !== last);
  };
  return {
    train: documents.filter((document) => !isHeldOut(document)),
    heldOut: documents.filter(isHeldOut),
  };
}

function splitText(text: string, path: string, share: number): { train: Document[]; heldOut: Document[] } {
  const wanted = Math.floor(text.length * (1 - share));
  const lineEnd = text.indexOf('\n', wanted);
  const cut = lineEnd < 0 || lineEnd + 1 >= text.length ? wanted : lineEnd + 1;
  return { train: [{ path, text: text.slice(0, cut) }], heldOut: [{ path, text: text.slice(cut) }] };
}

const isLines = (path: string): boolean => /\.jsonl(\.gz)?$/.test(path);

/** @param isNamed whether the user named this folder, and not one above it */
async function* walk(folder: string, isNamed: boolean): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw asOneBitError(error, folder);
  });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  if (!isNamed && isModelOrRun(entries.map(({ name }) => name))) return;
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!closedFolders.has(entry.name)) yield* walk(path, false);
    } else if (entry.isFile()) yield path;
  }
}

/** Whether a folder that holds these is a model checkpoint or the folder of a training run. */
function isModelOrRun(names: readonly string[]): boolean {
  const isRun = names.includes('run.json') && names.includes('checkpoints');
  const isModel =
    names.includes('config.json') && names.some((name) => /\.(safetensors|bin|gguf)$/.test(name));
  return isRun || isModel;
}

/** The lines of a .jsonl that a walk came upon, or undefined if it holds something else than texts. */
async function readFolderLines(
  path: string,
  signal: AbortSignal | undefined,
): Promise<Document[] | undefined> {
  const documents: Document[] = [];
  try {
    await readLines(path, (document) => documents.push(document), signal);
    return documents;
  } catch (error) {
    if (error instanceof OneBitError && error.code === 'bad-file') return undefined;
    throw error;
  }
}

async function readFolderFile(path: string): Promise<Document[] | undefined> {
  if (/\.min\.[a-z]+$|\.map$|-lock\.|\.lock$/.test(basename(path)) || extname(path) === '.svg')
    return undefined;
  try {
    if ((await stat(path)).size > largestFolderFile) return undefined;
    const text = textOf(await readFile(path));
    // Long lines throughout: generated or minified.
    if (text === undefined || text.length / (text.split('\n').length + 1) > 400) return undefined;
    return [{ path, text }];
  } catch (error) {
    throw asOneBitError(error, path);
  }
}

/** The bytes as UTF-8 text, or undefined if they are something else. */
function textOf(bytes: Uint8Array): string | undefined {
  if (bytes.subarray(0, 1 << 16).includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

async function readLines(
  path: string,
  add: (document: Document) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = createReadStream(path);
  const input: Readable = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  // pipe() passes no errors on, and readline would wait for more.
  file.on('error', (error) => input.destroy(error));
  const lines = createInterface({ input, crlfDelay: Infinity });
  let number = 0;
  try {
    for await (const line of lines) {
      throwIfCancelled(signal);
      number++;
      if (line.trim() !== '') add(documentOf(line, path, number));
    }
  } catch (error) {
    const known = asOneBitError(error, path);
    if (known.code !== 'internal') throw known;
    throw new OneBitError('bad-file', `${path} cannot be unpacked after line ${number}: ${known.message}`, {
      cause: error,
    });
  } finally {
    lines.close();
    file.destroy();
  }
}

function documentOf(line: string, path: string, number: number): Document {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new OneBitError('bad-file', `${path}: line ${number} is not JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const { text, path: name } = (value ?? {}) as { text?: unknown; path?: unknown };
  if (typeof text !== 'string') {
    throw new OneBitError('bad-file', `${path}: line ${number} has no string field "text".`);
  }
  return { path: typeof name === 'string' ? name : `${path}:${number}`, text };
}
