import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { OneBitError, asOneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { Document } from './document.ts';

/** A folder's files above this size are data or bundles, not source. */
const largestFolderFile = 2 << 20;
/** A longer text is taken in pieces: its tokens would fill the memory, and a string has a longest length. */
const longestDocument = 64 << 20;
const pieceSize = 16 << 20;

/**
 * Reads a file of text; one of more than 64 MB as several documents of the same path, cut at line ends.
 * @throws not-found, unreadable, bad-file if it is not UTF-8 text, cancelled
 */
export async function readTextFile(
  path: string,
  signal: AbortSignal | undefined,
  add: (document: Document) => void,
): Promise<void> {
  try {
    if ((await stat(path)).size <= longestDocument) {
      const text = textOf(await readFile(path));
      if (text === undefined) throw notText(path);
      return add({ path, text });
    }
    const decoder = new TextDecoder('utf-8', { fatal: true });
    const decode = (part: Uint8Array | undefined): string => {
      try {
        return decoder.decode(part, { stream: part !== undefined });
      } catch {
        throw notText(path);
      }
    };
    let rest = '';
    for await (const part of createReadStream(path, { highWaterMark: pieceSize }) as AsyncIterable<Buffer>) {
      throwIfCancelled(signal);
      if (part.includes(0)) throw notText(path);
      const text = rest + decode(part);
      const end = text.lastIndexOf('\n') + 1 || text.length;
      add({ path, text: text.slice(0, end) });
      rest = text.slice(end);
    }
    add({ path, text: rest + decode(undefined) });
  } catch (error) {
    throw asOneBitError(error, path);
  }
}

/** The text of a file that a walk came upon, or why it is passed over. */
export async function readSourceFile(path: string): Promise<{ text: string } | { passedOver: string }> {
  if (/\.min\.[a-z]+$|\.map$|-lock\.|\.lock$/.test(basename(path)) || extname(path) === '.svg') {
    return { passedOver: 'is not source but made by a tool' };
  }
  try {
    if ((await stat(path)).size > largestFolderFile) {
      return { passedOver: `is larger than ${largestFolderFile >> 20} MB; name it to have it read` };
    }
    const text = textOf(await readFile(path));
    if (text === undefined) return { passedOver: 'is not text' };
    if (text.length / (text.split('\n').length + 1) > 400) {
      return { passedOver: 'has very long lines, as generated or minified files do' };
    }
    return { text };
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

const notText = (path: string): OneBitError =>
  new OneBitError('bad-file', `${path} is not text: give text, source code, .jsonl(.gz) or .parquet files.`);
