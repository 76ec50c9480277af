import { appendFile, mkdir, open, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { TensorSource } from '../checkpoint/checkpoint.ts';
import { DataFile } from '../checkpoint/data-file.ts';
import { floatsToBytes } from '../checkpoint/float-conversion.ts';
import { exists } from '../checkpoint/json-file.ts';
import { readSafetensorsHeader } from '../checkpoint/safetensors-header.ts';
import { writeSafetensors } from '../checkpoint/safetensors-writer.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';
import { metricSchema, type Metric } from '../protocol/job.ts';

/** Where a run stands, beside its tensors. */
const runStateSchema = z.object({
  /** Steps done. */
  step: z.number().int(),
  /** Seconds of training so far, pauses left out. */
  seconds: z.number(),
  tokens: z.number(),
  windows: z.object({
    epoch: z.number(),
    taken: z.number(),
    turn: z.number().int(),
    lanes: z.array(
      z.object({
        epoch: z.number(),
        place: z.number(),
        offset: z.number(),
        pending: z.array(z.number()),
      }),
    ),
    random: z.tuple([z.number(), z.number(), z.number(), z.number()]),
  }),
});
export type RunState = z.infer<typeof runStateSchema>;

export interface RunCheckpoint {
  state: RunState;
  /** f32 by name. */
  parameters: Map<string, Float32Array>;
  /** Adam's moments, f32 by the parameter's name. */
  moments: Map<string, { first: Float32Array; second: Float32Array }>;
}

/** Checkpoints that stay on disk: the newest, and the one before in case the newest is found damaged. */
const kept = 2;

/**
 * The folder of one training run: `run.json` (what defines its curve), `metrics.jsonl`, and
 * `checkpoints/step-N/` with model.safetensors, optimizer.safetensors and state.json. A checkpoint is
 * written under another name and renamed when it is complete and on the disk, so that a kill or a
 * full disk at any moment leaves the last good one.
 */
export class RunFolder {
  private constructor(readonly path: string) {}

  /**
   * Opens or begins a run. `definition` is everything that its curve depends on.
   * Throws bad-request if the folder holds a run of another definition (the message names the field).
   */
  static async open(path: string, definition: Record<string, unknown>): Promise<RunFolder> {
    const run = new RunFolder(path);
    try {
      await mkdir(run.checkpoints, { recursive: true });
      // Runs lie in workspaces, beside their models; checkpoints are nothing to commit or to search.
      await writeFile(join(path, '.gitignore'), '*\n');
      const file = join(path, 'run.json');
      const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (text === undefined) {
        await writeWhole(file, `${JSON.stringify(definition, null, 2)}\n`);
      } else {
        compareDefinitions(path, text, definition);
      }
      for (const name of await readdir(run.checkpoints)) {
        if (name.endsWith('.partial')) await rm(join(run.checkpoints, name), { recursive: true });
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

  /** Throws everything of an earlier run away. */
  static async clear(path: string): Promise<void> {
    for (const name of ['run.json', 'metrics.jsonl', 'checkpoints']) {
      await rm(join(path, name), { recursive: true, force: true });
    }
  }

  private get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  /** Steps of the complete checkpoints, newest first. */
  async steps(): Promise<number[]> {
    const names = await readdir(this.checkpoints);
    return names
      .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a);
  }

  /** The folder of a checkpoint. */
  checkpointPath(step: number): string {
    return join(this.checkpoints, `step-${step}`);
  }

  /**
   * Writes a checkpoint and then removes all but the newest two. Throws no-space and the like; what
   * was there before stays.
   */
  async save(checkpoint: RunCheckpoint, shapes: ReadonlyMap<string, number[]>): Promise<void> {
    const path = this.checkpointPath(checkpoint.state.step);
    const partial = `${path}.partial`;
    try {
      await rm(partial, { recursive: true, force: true });
      await mkdir(partial);
      await writeSafetensors(
        join(partial, 'model.safetensors'),
        [...checkpoint.parameters].map(([name, values]) => source(name, values, shapes.get(name))),
      );
      await writeSafetensors(
        join(partial, 'optimizer.safetensors'),
        [...checkpoint.moments].flatMap(([name, { first, second }]) => [
          source(`first.${name}`, first, shapes.get(name)),
          source(`second.${name}`, second, shapes.get(name)),
        ]),
      );
      await writeWhole(join(partial, 'state.json'), JSON.stringify(checkpoint.state));
      await rm(path, { recursive: true, force: true });
      await rename(partial, path);
      await syncFolder(this.checkpoints);
      for (const step of (await this.steps()).slice(kept)) {
        await rm(this.checkpointPath(step), { recursive: true, force: true });
      }
    } catch (error) {
      await rm(partial, { recursive: true, force: true }).catch(() => undefined);
      throw asOneBitError(error, path);
    }
  }

  /** The newest checkpoint that reads, or undefined when there is none. */
  async load(signal?: AbortSignal): Promise<RunCheckpoint | undefined> {
    let damage: unknown;
    for (const step of await this.steps()) {
      try {
        return await this.read(step, signal);
      } catch (error) {
        if (asOneBitError(error).code === 'cancelled') throw error;
        damage = error;
      }
    }
    if (damage !== undefined) throw damage;
    return undefined;
  }

  private async read(step: number, signal?: AbortSignal): Promise<RunCheckpoint> {
    const path = this.checkpointPath(step);
    const file = join(path, 'state.json');
    const state = runStateSchema.safeParse(JSON.parse(await readFile(file, 'utf8')));
    if (!state.success) throw new OneBitError('bad-file', `${file} is not the state of a run.`);
    const parameters = await readTensors(join(path, 'model.safetensors'), signal);
    const stored = await readTensors(join(path, 'optimizer.safetensors'), signal);
    const moments: RunCheckpoint['moments'] = new Map();
    for (const [name, first] of stored) {
      if (!name.startsWith('first.')) continue;
      const parameter = name.slice('first.'.length);
      const second = stored.get(`second.${parameter}`);
      if (second === undefined) throw new OneBitError('missing-tensor', `${path} lacks second.${parameter}.`);
      moments.set(parameter, { first, second });
    }
    return { state: state.data, parameters, moments };
  }

  /** The metrics so far, lines after `step` dropped (steps that a killed run did after its last checkpoint). */
  async metricsUpTo(step: number): Promise<Metric[]> {
    const text = await readFile(join(this.path, 'metrics.jsonl'), 'utf8').catch(() => '');
    const metrics = text.split('\n').flatMap((line) => {
      try {
        const metric = metricSchema.safeParse(JSON.parse(line));
        return metric.success && metric.data.step <= step ? [metric.data] : [];
      } catch {
        return []; // A line cut short by a kill.
      }
    });
    await writeWhole(join(this.path, 'metrics.jsonl'), metrics.map((m) => `${JSON.stringify(m)}\n`).join(''));
    return metrics;
  }

  /** Adds a line to metrics.jsonl. */
  async addMetric(metric: Metric): Promise<void> {
    const file = join(this.path, 'metrics.jsonl');
    await appendFile(file, `${JSON.stringify(metric)}\n`).catch((error: unknown) => {
      throw asOneBitError(error, file);
    });
  }
}

function source(name: string, values: Float32Array, shape: number[] | undefined): TensorSource {
  return { name, dtype: 'F32', shape: shape ?? [values.length], bytes: () => floatsToBytes(values) };
}

async function readTensors(path: string, signal?: AbortSignal): Promise<Map<string, Float32Array>> {
  const file = await DataFile.open(path);
  try {
    const tensors = new Map<string, Float32Array>();
    for (const info of await readSafetensorsHeader(file, signal)) {
      const bytes = new Uint8Array(info.byteLength);
      await file.read(bytes, info.offset, signal);
      tensors.set(info.name, new Float32Array(bytes.buffer));
    }
    return tensors;
  } finally {
    await file.close();
  }
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

/** Writes a file under another name, syncs and renames it. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    const file = await open(partial, 'w');
    try {
      await writeFile(file, text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw asOneBitError(error, path);
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // Folders cannot be opened there.
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
