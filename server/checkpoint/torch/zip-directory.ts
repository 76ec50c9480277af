import { OneBitError } from '../../protocol/error.ts';
import type { DataFile } from '../data-file.ts';

/** A file in the archive, stored as it is: a range of the archive itself. */
export interface ZipEntry {
  name: string;
  size: number;
  /** Where its local header stands, which its bytes follow. */
  header: number;
}

const endBytes = 22;
const longestComment = 0xffff;
const localHeaderBytes = 30;
const mostDirectoryBytes = 16 << 20;
const unknown32 = 0xffffffff;

/**
 * The files of a ZIP archive whose contents are not compressed, as PyTorch writes it (APPNOTE 6.3.10, ZIP64 included).
 * @throws bad-file (no archive, cut short), unsupported (compressed or encrypted contents)
 */
export async function readZipDirectory(file: DataFile, signal?: AbortSignal): Promise<Map<string, ZipEntry>> {
  const malformed = (what: string) =>
    new OneBitError(
      'bad-file',
      `${file.path}: ${what}. It was cut short or damaged; copy or download it again.`,
    );
  const read = async (offset: number, length: number): Promise<DataView> => {
    if (offset < 0 || length < 0 || offset + length > file.size)
      throw malformed('its directory points outside of the file');
    const bytes = new Uint8Array(length);
    await file.read(bytes, offset, signal);
    return new DataView(bytes.buffer);
  };

  const tail = await read(
    Math.max(0, file.size - endBytes - longestComment),
    Math.min(file.size, endBytes + longestComment),
  );
  let end = tail.byteLength - endBytes;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw malformed('the archive has no directory');
  let count = tail.getUint16(end + 10, true);
  let bytes = tail.getUint32(end + 12, true);
  let start = tail.getUint32(end + 16, true);
  if (count === 0xffff || bytes === unknown32 || start === unknown32) {
    if (end < 20 || tail.getUint32(end - 20, true) !== 0x07064b50)
      throw malformed('the archive has no ZIP64 directory');
    const wide = await read(number64(tail, end - 12), 56);
    if (wide.getUint32(0, true) !== 0x06064b50) throw malformed('the archive has no ZIP64 directory');
    [count, bytes, start] = [number64(wide, 32), number64(wide, 40), number64(wide, 48)];
  }
  if (bytes > mostDirectoryBytes) throw malformed(`its directory claims ${bytes} bytes`);

  const directory = await read(start, bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes || directory.getUint32(at, true) !== 0x02014b50)
      throw malformed(`entry ${i} is none`);
    const flags = directory.getUint16(at + 8, true);
    const method = directory.getUint16(at + 10, true);
    const nameBytes = directory.getUint16(at + 28, true);
    const extraBytes = directory.getUint16(at + 30, true);
    const next = at + 46 + nameBytes + extraBytes + directory.getUint16(at + 32, true);
    if (next > bytes) throw malformed(`entry ${i} ends after the directory`);
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, nameBytes));
    const sizes = {
      size: directory.getUint32(at + 24, true),
      stored: directory.getUint32(at + 20, true),
      header: directory.getUint32(at + 42, true),
    };
    readZip64(directory, at + 46 + nameBytes, extraBytes, sizes);
    if ((flags & 1) !== 0 || method !== 0 || sizes.size !== sizes.stored) {
      throw new OneBitError(
        'unsupported',
        `${file.path}: ${name.slice(0, 100)} is compressed or encrypted in the archive, which PyTorch does not do: save the model again.`,
      );
    }
    entries.set(name, { name, size: sizes.size, header: sizes.header });
    at = next;
  }
  return entries;
}

/**
 * Where an entry's bytes begin in the archive.
 * @throws bad-file
 */
export async function entryOffset(file: DataFile, entry: ZipEntry, signal?: AbortSignal): Promise<number> {
  const { name, size, header } = entry;
  const malformed = (what: string) =>
    new OneBitError(
      'bad-file',
      `${file.path}: entry ${name.slice(0, 100)} ${what}. It was cut short or damaged; copy or download it again.`,
    );
  if (header + localHeaderBytes > file.size) throw malformed('begins after the file');
  const local = new DataView(new ArrayBuffer(localHeaderBytes));
  await file.read(new Uint8Array(local.buffer), header, signal);
  if (local.getUint32(0, true) !== 0x04034b50) throw malformed('has no header');
  const offset = header + localHeaderBytes + local.getUint16(26, true) + local.getUint16(28, true);
  if (offset + size > file.size) throw malformed('ends after the file');
  return offset;
}

/** Values that 32 bits do not hold stand in an extra field, in this order, those that are needed. */
function readZip64(
  view: DataView,
  start: number,
  length: number,
  sizes: { size: number; stored: number; header: number },
): void {
  for (let at = start; at + 4 <= start + length;) {
    const id = view.getUint16(at, true);
    const end = at + 4 + view.getUint16(at + 2, true);
    if (id === 1) {
      let value = at + 4;
      for (const key of ['size', 'stored', 'header'] as const) {
        if (sizes[key] !== unknown32 || value + 8 > Math.min(end, start + length)) continue;
        sizes[key] = number64(view, value);
        value += 8;
      }
    }
    at = end;
  }
}

/** A 64-bit number; one beyond what a number holds exactly is larger than any file, and refused as such. */
function number64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}
