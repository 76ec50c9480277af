import { access, readFile, stat } from 'node:fs/promises';
import { asOneBitError, OneBitError } from '../protocol/error.ts';

const maxJsonBytes = 10 << 20;

/** Reads a JSON file of modest size. @throws not-found, unreadable, bad-file */
export async function readJson(path: string, maxBytes = maxJsonBytes): Promise<unknown> {
  let text: string;
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new OneBitError('bad-file', `${path} is not a regular file.`);
    if (found.size > maxBytes) {
      throw new OneBitError('bad-file', `${path} has ${found.size} bytes, too many for such a file.`);
    }
    text = await readFile(path, 'utf8');
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
  try {
    return JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text);
  } catch (caught) {
    throw new OneBitError(
      'bad-file',
      `${path} is not valid JSON (${caught instanceof Error ? caught.message.slice(0, 120) : 'unknown'}); copy or download it again.`,
    );
  }
}

/** Whether there is something at the path. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
