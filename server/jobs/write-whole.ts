import { open, rename, rm } from 'node:fs/promises';
import { asOneBitError } from '../protocol/error.ts';

let written = 0;

/**
 * Writes a file so that a reader, or whoever comes after a crash, finds the old text or the new one, never
 * a part: temporary file, fsync, rename.
 * @param mode permissions of the file
 * @throws no-space, unreadable, internal, naming the path
 */
export async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.${written++}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw asOneBitError(error, path);
  }
}
