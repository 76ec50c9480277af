import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { OneBitError, asOneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { Document } from './document.ts';
import { chooseTextColumn } from './text-column.ts';

/** More is no line of text: a file that has no line ends must not fill the memory. */
const longestLine = 256 << 20;

export interface RowOptions {
  /** Column or field of the text; default: `text`, else `content` or `code`. */
  textColumn?: string;
  signal?: AbortSignal;
}

/**
 * Reads the texts of a .jsonl or .jsonl.gz file (UTF-8, an object a line) as a stream. The first line says
 * which field holds the text; a string field `path` names the document, else its line number does.
 * @throws not-found, unreadable; bad-file naming the line that is not JSON, not UTF-8 or has no text, or
 * where unpacking failed; bad-value; cancelled
 */
export async function readJsonLines(
  path: string,
  { textColumn, signal }: RowOptions,
  add: (document: Document) => void,
): Promise<void> {
  let column: string | undefined;
  let number = 0;
  for await (const bytes of fileLines(path, signal)) {
    number++;
    const line = decoded(bytes, path, number);
    if (line.trim() === '') continue;
    const row = parsed(line, path, number);
    column ??= chooseTextColumn(stringFields(row), textColumn, `${path}: line ${number}`);
    const text = column === undefined ? undefined : row[column];
    if (typeof text !== 'string') {
      const wanted = column ?? textColumn ?? 'text';
      const fields = stringFields(row).map((name) => `"${name}"`);
      throw new OneBitError(
        'bad-file',
        `${path}: line ${number} has no string field "${wanted}"; ` +
          (fields.length > 0
            ? `it has ${fields.join(', ')}. Name the text's with --text-column.`
            : `${wanted in row ? 'what stands there is no text' : 'it has none at all'}. Mend the line or take it out.`),
      );
    }
    add({ path: typeof row.path === 'string' ? row.path : `${path}:${number}`, text });
  }
}

const stringFields = (row: Record<string, unknown>): string[] =>
  Object.keys(row).filter((name) => typeof row[name] === 'string');

function parsed(line: string, path: string, number: number): Record<string, unknown> {
  try {
    return Object(JSON.parse(line) ?? {}) as Record<string, unknown>;
  } catch (error) {
    throw new OneBitError(
      'bad-file',
      `${path}: line ${number} is not JSON: ${(error as Error).message}. Mend the line or take it out.`,
      { cause: error },
    );
  }
}

function decoded(bytes: Uint8Array, path: string, number: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new OneBitError('bad-file', `${path}: line ${number} is not UTF-8 text: convert the file.`, {
      cause: error,
    });
  }
}

/** The lines' bytes without their ends. Not node:readline, which replaces what is not UTF-8 in silence. */
export async function* fileLines(path: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path);
  const input: Readable = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  // pipe() passes no errors on, and the reader would wait for more.
  file.on('error', (error) => input.destroy(error));
  let number = 0;
  let begun: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      throwIfCancelled(signal);
      let from = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        const last = chunk.subarray(from, end);
        yield begun.length === 0 ? last : Buffer.concat([...begun, last]);
        number++;
        begun = [];
        length = 0;
        from = end + 1;
      }
      if (from < chunk.length) begun.push(chunk.subarray(from));
      length += chunk.length - from;
      if (length > longestLine) {
        throw new OneBitError(
          'bad-file',
          `${path}: line ${number + 1} is longer than ${longestLine >> 20} MB: this is no file of JSON lines.`,
        );
      }
    }
    if (begun.length > 0) yield Buffer.concat(begun);
  } catch (error) {
    const known = asOneBitError(error, path);
    if (known.code !== 'internal') throw known;
    throw new OneBitError(
      'bad-file',
      `${path} cannot be unpacked after line ${number}: ${known.message}. Copy or download it again.`,
      { cause: error },
    );
  } finally {
    input.destroy();
    file.destroy();
  }
}
