import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectLayersResultSchema, type InspectLayersResult } from '../protocol/inspect.ts';
import type { InspectedModels } from './matrix-statistics.ts';
import type { InspectedCheckpoint } from './run-files.ts';

/** Raised when a statistic changes its meaning or a new one comes. */
const version = 1;
/** Results that stay: a 7B model's takes 250 KB. */
const maxFiles = 100;

/**
 * Results of inspectLayers on disk, one JSON file each, by what the checkpoints are: the path, size, times and inode of
 * every file, and a hash of the headers. Written whole or not at all; the least used go first. A folder that cannot be
 * read or written costs the cache and nothing else.
 */
export class LayersCache {
  constructor(private readonly folder: string) {}

  /** Names what was inspected; undefined where a checkpoint's tensors are not files. */
  async keyOf({ model, teacher, other }: InspectedModels): Promise<string | undefined> {
    try {
      const identities = [];
      for (const checkpoint of [model, teacher, other]) {
        identities.push(checkpoint === undefined ? null : await identityOf(checkpoint));
      }
      return createHash('sha256')
        .update(JSON.stringify([version, identities]))
        .digest('hex');
    } catch {
      return undefined;
    }
  }

  /** The result of that key, if it is there and whole. */
  async read(key: string): Promise<InspectLayersResult | undefined> {
    const file = join(this.folder, `${key}.json`);
    try {
      const parsed = inspectLayersResultSchema.safeParse(JSON.parse(await readFile(file, 'utf8')));
      if (!parsed.success) return undefined;
      const now = new Date();
      await utimes(file, now, now).catch(() => undefined);
      return { ...parsed.data, cached: true };
    } catch {
      return undefined;
    }
  }

  /** Keeps a result, and takes the oldest ones away. */
  async write(key: string, result: InspectLayersResult): Promise<void> {
    const temporary = join(this.folder, `${key}.${randomUUID()}.tmp`);
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(JSON.stringify(result));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, join(this.folder, `${key}.json`));
      await this.removeOldest();
    } catch {
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }

  private async removeOldest(): Promise<void> {
    const files = await Promise.all(
      (await readdir(this.folder)).map(async (name) => {
        const path = join(this.folder, name);
        return { path, time: (await stat(path)).mtimeMs };
      }),
    );
    files.sort((a, b) => b.time - a.time);
    for (const { path } of files.slice(maxFiles)) await rm(path, { force: true });
  }
}

async function identityOf({ kind, tensors }: InspectedCheckpoint): Promise<unknown> {
  const header = createHash('sha256');
  const files = new Set<string>();
  for (const { name, dtype, shape, file, offset, byteLength } of tensors.values()) {
    header.update(JSON.stringify([name, dtype, shape, file, offset, byteLength]));
    files.add(file);
  }
  const stats = await Promise.all(
    [...files].map(async (file) => {
      const { size, mtimeNs, ctimeNs, ino } = await stat(file, { bigint: true });
      return [file, ...[size, mtimeNs, ctimeNs, ino].map(String)];
    }),
  );
  return [kind, header.digest('hex'), stats];
}
