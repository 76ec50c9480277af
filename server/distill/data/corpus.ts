import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OneBitError, asOneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { hashText } from '../random.ts';
import type { Document } from './document.ts';
import { readJsonLines, type RowOptions } from './json-lines.ts';
import { readSourceFile, readTextFile } from './text-file.ts';

export interface CorpusOptions {
  /** Column or field of the text in .parquet and .jsonl files; default: `text`, else `content` or `code`. */
  textColumn?: string;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

export interface Corpus {
  documents: Document[];
  /** Those of them that a walk through a folder came upon. */
  fromFolders: Set<Document>;
  /** UTF-16 code units over all documents. */
  characters: number;
  /** Files in folders that were passed over: binary, too large, minified, data of another kind. */
  skipped: number;
  /** Why the first of them was. */
  firstSkipped: string | undefined;
}

/** Folders that a walk does not enter (one that is named itself is read). */
const closedFolders = new Set(['node_modules', '__pycache__', 'target', 'venv']);
/** Rows of a data set between two reports. */
const reportRows = 1000;

/**
 * Reads files and folders of text or source code, and the texts in .jsonl(.gz) and .parquet files. Folders
 * are walked in name order; hidden, binary, minified and very large files in them are passed over, and so
 * are data files of another kind, model checkpoints and the folders of training runs: what a run writes
 * beside its data must not become its data.
 * Throws not-found, unreadable, bad-file (a named file that is binary, damaged, or has a line that is not
 * JSON or has no text: with its number) and bad-value (nothing to read).
 */
export async function readCorpus(paths: readonly string[], options: CorpusOptions = {}): Promise<Corpus> {
  const corpus: Corpus = {
    documents: [],
    fromFolders: new Set(),
    characters: 0,
    skipped: 0,
    firstSkipped: undefined,
  };
  for (const path of paths) {
    const report = (file: string): void =>
      options.onProgress?.({
        phase: 'read data',
        done: corpus.documents.length,
        total: 0,
        unit: 'files',
        message: file,
      });
    const add = (document: Document): void => {
      if (document.text === '') return;
      corpus.documents.push(document);
      corpus.characters += document.text.length;
      if (corpus.documents.length % reportRows === 0) report(path);
    };
    const before = corpus.documents.length;
    let skipped = 0;
    let firstSkipped: string | undefined;
    const facts = await stat(path).catch((error: unknown) => {
      throw asOneBitError(error, path);
    });
    if (facts.isDirectory()) {
      for await (const file of walk(path, true)) {
        throwIfCancelled(options.signal);
        const passedOver = await readFolderFile(file, options, (document) => {
          corpus.fromFolders.add(document);
          add(document);
        });
        if (passedOver !== undefined) {
          skipped++;
          firstSkipped ??= passedOver;
        }
        report(file);
      }
    } else {
      const rows = rowReader(path);
      await (rows === undefined ? readTextFile(path, options.signal, add) : rows(path, options, add));
    }
    corpus.skipped += skipped;
    corpus.firstSkipped ??= firstSkipped;
    if (corpus.documents.length === before) {
      throw new OneBitError(
        'bad-value',
        `${path} holds no text to train on` +
          (firstSkipped === undefined
            ? ': it is empty.'
            : `: its ${skipped} file${skipped === 1 ? '' : 's'} ` +
              `${skipped === 1 ? 'was' : 'were'} passed over, as ${firstSkipped}.`),
      );
    }
  }
  return corpus;
}

type RowReader = (path: string, options: RowOptions, add: (document: Document) => void) => Promise<void>;

/** How the rows of a data set are read, or undefined for a file that is one text. */
function rowReader(path: string): RowReader | undefined {
  if (/\.jsonl(\.gz)?$/.test(path)) return readJsonLines;
  if (!path.endsWith('.parquet')) return undefined;
  // Loaded when needed: most runs read no parquet.
  return async (...of) => (await import('./parquet-text.ts')).readParquet(...of);
}

/** Adds the texts of a file that a walk came upon; returns why it was passed over, if it was. */
async function readFolderFile(
  path: string,
  options: CorpusOptions,
  add: (document: Document) => void,
): Promise<string | undefined> {
  const rows = rowReader(path);
  if (rows === undefined) {
    const result = await readSourceFile(path);
    if ('passedOver' in result) return `${path} ${result.passedOver}`;
    add({ path, text: result.text });
    return undefined;
  }
  // All of its rows or none: a file that turns out to be something else half-way is none of ours.
  const documents: Document[] = [];
  try {
    await rows(path, options, (document) => documents.push(document));
  } catch (error) {
    if (error instanceof OneBitError && error.code === 'bad-file') return error.message.replace(/\.$/, '');
    throw error;
  }
  documents.forEach(add);
  return undefined;
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
  if (documents.length === 0 || share <= 0) return { train: [...documents], heldOut: [] };
  const paths = new Set(documents.map((document) => document.path));
  if (paths.size === 1) return splitText(documents, share);
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

/** The last `share` of the characters, from a line end on; a document that lies across it is cut. */
function splitText(
  documents: readonly Document[],
  share: number,
): { train: Document[]; heldOut: Document[] } {
  const train: Document[] = [];
  const heldOut: Document[] = [];
  const characters = documents.reduce((sum, { text }) => sum + text.length, 0);
  let left = Math.floor(characters * (1 - share));
  for (const { path, text } of documents) {
    // Only the first document that goes over the limit is cut; all of the later ones are held out.
    const lineEnd = heldOut.length === 0 && left < text.length ? text.indexOf('\n', left) : -1;
    const cut = lineEnd < 0 || lineEnd + 1 >= text.length ? Math.min(left, text.length) : lineEnd + 1;
    if (cut > 0) train.push({ path, text: text.slice(0, cut) });
    if (cut < text.length) heldOut.push({ path, text: text.slice(cut) });
    left = Math.max(0, left - text.length);
  }
  return { train, heldOut };
}

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
