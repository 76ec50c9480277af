import { writeWhole } from './write-whole.ts';

/**
 * Writes a JSON file, the old text or the new one whatever happens (see writeWhole).
 * @param mode permissions of the file; for the user only if absent
 * @throws no-space, unreadable, internal, naming the path
 */
export async function writeJson(path: string, value: unknown, mode = 0o600): Promise<void> {
  await writeWhole(path, `${JSON.stringify(value, undefined, 2)}\n`, mode);
}
