import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { OneBitError, asOneBitError } from '../protocol/error.ts';

/** Text of a gzip file may be this long: far above any published task file. */
const mostUnpackedBytes = 1 << 30;

/** Files that are text only after another program has unpacked them, by their first bytes. */
const packed: readonly { magic: string; kind: string; advice: string }[] = [
  { magic: 'BZh', kind: 'a bzip2 file', advice: 'unpack it (bunzip2 -k) and give the result' },
  { magic: 'PK\x03\x04', kind: 'a zip file', advice: 'unpack it and give the text file in it' },
  { magic: '\xfd7zXZ', kind: 'an xz file', advice: 'unpack it (unxz -k) and give the result' },
  { magic: '\x28\xb5\x2f\xfd', kind: 'a zstd file', advice: 'unpack it (unzstd -k) and give the result' },
  { magic: 'PAR1', kind: 'a parquet file', advice: 'give the data as JSON lines' },
];

/**
 * A UTF-8 text file, plain or gzip (told by its first bytes, not its name).
 * @throws not-found, unreadable, unsupported (packed in another way), bad-file (not UTF-8, damaged gzip)
 */
export async function readText(path: string): Promise<string> {
  let bytes: Uint8Array = await readFile(path).catch((error: unknown) => {
    throw asOneBitError(error, path);
  });
  const start = Buffer.from(bytes.subarray(0, 8)).toString('latin1');
  const found = packed.find(({ magic }) => start.startsWith(magic));
  if (found !== undefined) {
    throw new OneBitError('unsupported', `${path} is ${found.kind}: ${found.advice}.`);
  }
  if (start.startsWith('\x1f\x8b')) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: mostUnpackedBytes });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : 'unknown error';
      throw new OneBitError('bad-file', `${path} cannot be unpacked (${why}): copy or download it again.`, {
        cause,
      });
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new OneBitError('bad-file', `${path} is not UTF-8 text.`, { cause });
  }
}
