import { parquetMetadata, parquetScan, parquetSchema, type FileMetaData, type ParquetScan } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { DataFile } from '../../checkpoint/data-file.ts';
import { OneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { Document } from './document.ts';
import type { RowOptions } from './json-lines.ts';
import { chooseTextColumn } from './text-column.ts';

/** Footers of real files are far smaller; a hostile length must not fill the memory. */
const longestFooter = 64 << 20;
/** Rows of one row group, likewise: writers make a thousandth of it. */
const mostRows = 1 << 26;
/** Footer length and magic number at the end. */
const tailSize = 8;
const magic = 'PAR1';

interface Parquet {
  file: DataFile;
  metadata: FileMetaData;
  /** Where the column chunks end and the footer begins. */
  dataEnd: number;
  scan: ParquetScan;
}

/**
 * Reads the texts of a parquet file, one row group at a time, so that no more than a row group's column is
 * in memory beside the texts. A column `path` of strings names the documents, else the row number does;
 * null and empty rows are passed over.
 * @throws not-found, unreadable; bad-file for a file that is damaged, cut short or lacks the column (the
 * message names the row group and the columns there are); bad-value; cancelled
 */
export async function readParquet(
  path: string,
  { textColumn, signal }: RowOptions,
  add: (document: Document) => void,
): Promise<void> {
  const file = await DataFile.open(path);
  try {
    const { metadata, dataEnd } = await readFooter(file, signal);
    const columns = columnsOf(file, metadata);
    const strings = columns.filter(({ isText }) => isText).map(({ name }) => name);
    const column = chooseTextColumn(strings, textColumn, path);
    if (column === undefined) {
      const there = columns.map(({ name, isText, kind }) => (isText ? `"${name}"` : `"${name}" (${kind})`));
      throw new OneBitError(
        'bad-file',
        `${path} has no text column "${textColumn ?? 'text'}"; it has ${there.join(', ')}. ` +
          "Name the text's with --text-column.",
      );
    }
    const scan = await parquetScan({
      file: {
        byteLength: file.size,
        slice: async (from, to = file.size) => {
          const bytes = new Uint8Array(to - from);
          await file.read(bytes, from, signal);
          return bytes.buffer;
        },
      },
      metadata,
      columns: strings.filter((name) => name === column || name === 'path'),
      compressors,
    });
    const parquet: Parquet = { file, metadata, dataEnd, scan };
    let row = 0;
    for (const [group, { num_rows }] of metadata.row_groups.entries()) {
      throwIfCancelled(signal);
      const rows = Number(num_rows);
      const texts = await readColumn(parquet, group, row, column);
      const names = strings.includes('path') ? await readColumn(parquet, group, row, 'path') : [];
      for (let i = 0; i < rows; i++) {
        const text = texts[i];
        const name = names[i];
        if (typeof text !== 'string' || text === '') continue;
        add({ path: typeof name === 'string' ? name : `${path}:${row + i + 1}`, text });
      }
      row += rows;
    }
  } finally {
    await file.close();
  }
}

/** @throws bad-file; every length is checked against the file before anything of that size is made. */
async function readFooter(
  file: DataFile,
  signal: AbortSignal | undefined,
): Promise<{ metadata: FileMetaData; dataEnd: number }> {
  const { path, size } = file;
  if (size < 2 * magic.length + 4) throw damaged(path, `${size} bytes are too few for a parquet file`);
  const ends = new Uint8Array(magic.length + tailSize);
  await file.read(ends.subarray(0, magic.length), 0, signal);
  await file.read(ends.subarray(magic.length), size - tailSize, signal);
  const text = (from: number): string => String.fromCharCode(...ends.subarray(from, from + magic.length));
  if (text(8) === 'PARE') throw new OneBitError('unsupported', `${path} is encrypted: decrypt it first.`);
  if (text(0) !== magic) throw damaged(path, `it does not begin with ${magic}`);
  if (text(8) !== magic) throw damaged(path, `it does not end with ${magic}, so it was cut short`);
  const length = new DataView(ends.buffer).getUint32(4, true);
  const dataEnd = size - tailSize - length;
  if (dataEnd < magic.length || length > longestFooter) {
    throw damaged(path, `its footer of ${length} bytes does not fit into the ${size} bytes of the file`);
  }
  const footer = new Uint8Array(length + tailSize);
  await file.read(footer, dataEnd, signal);
  try {
    return { metadata: parquetMetadata(footer, { geoparquet: false }), dataEnd };
  } catch (error) {
    throw damaged(path, `its footer cannot be read: ${(error as Error).message}`, error);
  }
}

function columnsOf(
  file: DataFile,
  metadata: FileMetaData,
): { name: string; isText: boolean; kind: string }[] {
  try {
    return parquetSchema(metadata).children.map(({ element, children }) => ({
      name: element.name,
      isText:
        children.length === 0 && element.type === 'BYTE_ARRAY' && element.repetition_type !== 'REPEATED',
      kind: children.length > 0 ? 'nested' : (element.type ?? 'unknown').toLowerCase(),
    }));
  } catch (error) {
    throw damaged(file.path, `its schema cannot be read: ${(error as Error).message}`, error);
  }
}

/** @param first the row group's first row in the file */
async function readColumn(
  { file, metadata, dataEnd, scan }: Parquet,
  group: number,
  first: number,
  column: string,
): Promise<ArrayLike<unknown>> {
  const where = `row group ${group + 1}, column "${column}"`;
  const rowGroup = metadata.row_groups[group];
  const rows = Number(rowGroup?.num_rows);
  if (rows === 0) return [];
  const facts = rowGroup?.columns.find((chunk) => chunk.meta_data?.path_in_schema[0] === column)?.meta_data;
  if (facts === undefined) throw damaged(file.path, `${where}: the footer does not say where it lies`);
  const start = Number(facts.dictionary_page_offset || facts.data_page_offset);
  const size = Number(facts.total_compressed_size);
  if (!(rows > 0 && rows <= mostRows)) throw damaged(file.path, `${where}: ${rows} rows are not plausible`);
  if (!(start >= magic.length && size >= 0 && start + size <= dataEnd)) {
    throw damaged(file.path, `${where}: bytes ${start} to ${start + size} lie outside of the data`);
  }
  let values: ArrayLike<unknown>;
  try {
    values = await scan.readColumn({ column, rowStart: first, rowEnd: first + rows });
  } catch (error) {
    if (error instanceof OneBitError) throw error;
    throw damaged(file.path, `${where}: ${(error as Error).message}`, error);
  }
  if (values.length < rows) {
    throw damaged(file.path, `${where}: ${values.length} rows where the footer says ${rows}`);
  }
  return values;
}

function damaged(path: string, what: string, cause?: unknown): OneBitError {
  return new OneBitError('bad-file', `${path}: ${what}. The file is damaged: copy or download it again.`, {
    cause,
  });
}
