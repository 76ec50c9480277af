import { stat } from 'node:fs/promises';
import type {
  CheckpointTensors,
  TensorRow,
  checkpointTensorsParamsSchema,
} from '../../protocol/checkpoint-file.ts';
import { asOneBitError } from '../../protocol/error.ts';
import type { z } from '../../protocol/schema.ts';
import { readFileListing, type FileListing } from './file-listing.ts';
import { orderTensors } from './order-tensors.ts';

/** Files whose headers are kept: those that people look at side by side. */
const most = 4;
/** A listing of more tensors is dropped as soon as another file is looked at. */
const large = 100_000;

type Query = z.output<typeof checkpointTensorsParamsSchema>;

interface Kept {
  /** Changes with the file. */
  version: string;
  listing: Promise<FileListing>;
  /** The tensors as they were searched and sorted last. */
  ordered?: { key: string; tensors: readonly TensorRow[] };
}

/** The headers of the files that are being looked at, read once until the file changes. */
export class ListedFiles {
  private readonly kept = new Map<string, Kept>();

  /** @throws what readFileListing throws */
  async open(path: string): Promise<FileListing> {
    return (await this.entry(path)).listing;
  }

  /** The rows from `from` on. @throws what readFileListing throws */
  async tensors({ path, search, sort, descending, from, count }: Query): Promise<CheckpointTensors> {
    const entry = await this.entry(path);
    const { tensors } = await entry.listing;
    const key = JSON.stringify([search, sort, descending]);
    if (entry.ordered?.key !== key) {
      entry.ordered = { key, tensors: orderTensors(tensors, { search, sort, descending }) };
    }
    const { ordered } = entry;
    return { total: ordered.tensors.length, from, rows: ordered.tensors.slice(from, from + count) };
  }

  private async entry(path: string): Promise<Kept> {
    const version = await stat(path).then(
      ({ size, mtimeMs, ino }) => `${size} ${mtimeMs} ${ino}`,
      (error: unknown) => {
        throw asOneBitError(error, path);
      },
    );
    const known = this.kept.get(path);
    if (known?.version === version) return known;
    const entry: Kept = { version, listing: readFileListing(path) };
    // Failures are not kept: the file may be copied again with the same size and time.
    const forget = () => this.kept.get(path) === entry && this.kept.delete(path);
    entry.listing.catch(forget);
    this.kept.delete(path);
    this.kept.set(path, entry);
    await this.makeRoom(path);
    return entry;
  }

  private async makeRoom(newest: string): Promise<void> {
    for (const [path, { listing }] of [...this.kept]) {
      if (path === newest) continue;
      const tensors = await listing.then(
        (read) => read.tensors.length,
        () => 0,
      );
      if (tensors > large || this.kept.size > most) this.kept.delete(path);
    }
  }
}
