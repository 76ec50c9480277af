import { open, rename, rm } from 'node:fs/promises';
import { asOneBitError } from '../protocol/error.ts';

let written = 0;

/**
 * Writes a JSON file so that a reader, or whoever comes after a crash, finds the old text or the new
 * one, never a part: temporary file, fsync, rename.
 * @param mode permissions of the file; for the user only if absent
 * @throws no-space, unreadable, internal, naming the path
 */
export async function writeJson(path: string, value: unknown, mode = 0o600): Promise<void> {
  const temporary = `${path}.${process.pid}.${written++}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(`${JSON.stringify(value, undefined, 2)}\n`);
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
