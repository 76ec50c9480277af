import { createHash } from 'node:crypto';
import { appendFile, mkdir, open, readFile, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../checkpoint/json-file.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';
import { z } from '../protocol/schema.ts';
import { trainingBackendSchema } from '../protocol/training-backend.ts';
import { metricSchema, type Metric } from '../protocol/job.ts';
import { identify, processIdentitySchema, whetherRuns } from '../process-identity.ts';
import {
  checkpointBytes,
  partialEnding,
  SavedCheckpoint,
  syncFolder,
  writeRunCheckpoint,
  writeWhole,
  type RunCheckpoint,
  newestFirst,
} from './run-checkpoint.ts';

/** Checkpoints that stay on disk: the newest, and the one before in case the newest is found damaged. */
const kept = 2;

/**
 * The folder of one training run: `run.json` (what defines its curve), `metrics.jsonl`,
 * `checkpoints/step-N/` with model.safetensors, optimizer.safetensors, measured.safetensors and state.json,
 * `signs/` (SignHistory), and `process.json` while somebody works on it. A checkpoint is written under another name and renamed
 * when it is complete and on the disk, so that a kill or a full disk at any moment leaves the last good one.
 */
export class RunFolder {
  private constructor(
    readonly path: string,
    /** Names the run in its checkpoints: a hash of its definition. */
    private readonly id: string,
  ) {}

  /**
   * Opens or begins a run. `definition` is everything that its curve depends on, but for rounding: `backend`, what
   * it trains on now, is written beside it and may change.
   * Throws bad-request if the folder holds a run of another definition (the message names the field).
   */
  static async open(
    path: string,
    definition: Record<string, unknown>,
    backend?: RunBackend,
  ): Promise<RunFolder> {
    const run = new RunFolder(path, hashOf(definition));
    try {
      await mkdir(run.checkpoints, { recursive: true });
      // Runs lie in workspaces, beside their models; checkpoints are nothing to commit or to search.
      await writeFile(join(path, '.gitignore'), '*\n');
      const file = join(path, 'run.json');
      const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (text !== undefined) compareDefinitions(path, text, definition);
      const before = text === undefined ? undefined : backendIn(text);
      if (text === undefined || (backend !== undefined && before?.option !== backend.option)) {
        await writeWhole(file, `${JSON.stringify({ ...definition, backend }, null, 2)}\n`);
      }
    } catch (error) {
      throw asOneBitError(error, path);
    }
    return run;
  }

  /** Whether a run was begun in that folder. */
  static async isBegun(path: string): Promise<boolean> {
    return exists(join(path, 'run.json'));
  }

  /** What the run in that folder trained on last; undefined where there is none, or it did not say. */
  static async backendOf(path: string): Promise<RunBackend | undefined> {
    return backendIn(await readFile(join(path, 'run.json'), 'utf8').catch(() => ''));
  }

  /** Throws everything of an earlier run away. @throws busy (a process works on it) */
  static async clear(path: string): Promise<void> {
    await refuseIfTaken(path);
    for (const name of ['run.json', 'metrics.jsonl', 'checkpoints', 'signs', blocksFolder, processFile]) {
      await rm(join(path, name), { recursive: true, force: true });
    }
  }

  /**
   * Takes the run for this process, and clears up after one that was killed.
   * @throws busy (another process works on it)
   */
  async claim(): Promise<void> {
    const file = join(this.path, processFile);
    const identity = JSON.stringify(identify(process.pid));
    try {
      await writeFile(file, identity, { flag: 'wx' }).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
        await refuseIfTaken(this.path);
        await rm(file, { force: true });
        await writeFile(file, identity, { flag: 'wx' });
      });
    } catch (error) {
      throw asOneBitError(error, file);
    }
    for (const name of await readdir(this.checkpoints)) {
      if (name.endsWith(partialEnding)) await rm(join(this.checkpoints, name), { recursive: true });
    }
  }

  /** Gives the run back. */
  async release(): Promise<void> {
    await rm(join(this.path, processFile), { force: true });
  }

  private get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  /** Steps of the complete checkpoints, newest first. */
  async steps(): Promise<number[]> {
    return newestFirst(await readdir(this.checkpoints));
  }

  /** The folder of a checkpoint. */
  checkpointPath(step: number): string {
    return join(this.checkpoints, `step-${step}`);
  }

  /** Fails before hours of work where the disk could not hold the run's checkpoints. @throws no-space */
  async checkSpace(checkpoint: RunCheckpoint): Promise<void> {
    // For a moment there is one more than are kept.
    const missing = Math.max(1, kept + 1 - (await this.steps()).length);
    const needed = missing * checkpointBytes(checkpoint);
    const disk = await statfs(this.path);
    const free = disk.bavail * disk.bsize;
    if (free >= needed) return;
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
    throw new OneBitError(
      'no-space',
      `No space left on the disk of ${this.path}: the checkpoints of this run need ${megabytes(needed)} and ` +
        `${megabytes(free)} are free. Free some, or choose another folder with --run.`,
    );
  }

  /**
   * Writes a checkpoint and then removes all but the newest two. Throws no-space and the like; what
   * was there before stays.
   */
  async save(checkpoint: RunCheckpoint): Promise<void> {
    const path = this.checkpointPath(checkpoint.state.step);
    try {
      // A checkpoint on the disk has its metrics there too, even after a power cut.
      await syncFile(this.metricsFile);
      await writeRunCheckpoint(path, this.id, checkpoint);
      await syncFolder(this.checkpoints);
      for (const step of (await this.steps()).slice(kept)) {
        await rm(this.checkpointPath(step), { recursive: true, force: true });
      }
    } catch (error) {
      throw asOneBitError(error, path);
    }
  }

  /**
   * Restores the newest checkpoint that reads: calls `restore` with it, and with the one before where that
   * throws because it is damaged. Undefined when there is none.
   * @throws bad-request (a checkpoint of another run), what `restore` throws, cancelled
   */
  async load<T>(restore: (saved: SavedCheckpoint) => Promise<T>): Promise<T | undefined> {
    let damage: unknown;
    for (const step of await this.steps()) {
      try {
        return await restore(await SavedCheckpoint.open(this.checkpointPath(step), this.id));
      } catch (error) {
        const { code } = asOneBitError(error);
        if (code === 'cancelled' || code === 'bad-request') throw error;
        damage = error;
      }
    }
    if (damage !== undefined) throw damage;
    return undefined;
  }

  /** The metrics so far, lines after `step` dropped (steps that a killed run did after its last checkpoint). */
  async metricsUpTo(step: number): Promise<Metric[]> {
    const text = await readFile(this.metricsFile, 'utf8').catch(() => '');
    const kept = text.split('\n').flatMap((line) => {
      try {
        const metric = metricSchema.safeParse(JSON.parse(line));
        return metric.success && metric.data.step <= step ? [{ line, metric: metric.data }] : [];
      } catch {
        return []; // A line cut short by a kill.
      }
    });
    // The lines as they were, not as they would be written now.
    await writeWhole(this.metricsFile, kept.map(({ line }) => `${line}\n`).join(''));
    return kept.map(({ metric }) => metric);
  }

  /** Adds a line to metrics.jsonl. */
  async addMetric(metric: Metric): Promise<void> {
    await appendFile(this.metricsFile, `${JSON.stringify(metric)}\n`).catch((error: unknown) => {
      throw asOneBitError(error, this.metricsFile);
    });
  }

  private get metricsFile(): string {
    return join(this.path, 'metrics.jsonl');
  }
}

/** What a run trains on, in its run.json. */
const runBackendSchema = z.object({
  /** As `--backend` takes it. */
  option: trainingBackendSchema,
  description: z.string(),
  /** Why it is not one that `auto` would rather take. */
  reasons: z.array(z.string()),
});
export type RunBackend = z.infer<typeof runBackendSchema>;

function backendIn(text: string): RunBackend | undefined {
  try {
    return z.object({ backend: runBackendSchema }).parse(JSON.parse(text)).backend;
  } catch {
    return undefined; // Of an earlier version, or damaged, which is said elsewhere.
  }
}

/** Which process works on the run. */
const processFile = 'process.json';
/** The runs of the block-wise start, in the folder of the whole run. */
export const blocksFolder = 'blocks';

async function refuseIfTaken(path: string): Promise<void> {
  const file = join(path, processFile);
  const text = await readFile(file, 'utf8').catch(() => '');
  let owner;
  try {
    owner = processIdentitySchema.parse(JSON.parse(text));
  } catch {
    return; // None, or cut short by a power cut.
  }
  if (whetherRuns(owner) === 'gone') return;
  throw new OneBitError(
    'busy',
    `Process ${owner.pid} works on the run in ${path}: wait for it, stop it, or choose another folder ` +
      `with --run. If no such training runs, remove ${file}.`,
  );
}

/** The same whatever the order of the fields. */
function hashOf(definition: Record<string, unknown>): string {
  const fields = Object.entries(definition)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex').slice(0, 16);
}

function compareDefinitions(path: string, text: string, definition: Record<string, unknown>): void {
  let before: Record<string, unknown>;
  try {
    before = JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new OneBitError('bad-file', `${join(path, 'run.json')} is damaged: use --restart to begin anew.`, {
      cause: error,
    });
  }
  delete before['backend'];
  const now = JSON.parse(JSON.stringify(definition)) as Record<string, unknown>;
  for (const field of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const [was, is] = [JSON.stringify(before[field]), JSON.stringify(now[field])];
    if (was !== is) {
      throw new OneBitError(
        'bad-request',
        `${path} holds a run with ${field} = ${was}, now it is ${is}: give the same options to continue it, ` +
          'another folder, or --restart to throw it away.',
      );
    }
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
