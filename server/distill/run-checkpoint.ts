import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { TensorSource } from '../checkpoint/checkpoint.ts';
import { DataFile } from '../checkpoint/data-file.ts';
import { exists } from '../checkpoint/json-file.ts';
import { readSafetensorsHeader } from '../checkpoint/safetensors-header.ts';
import { sourceBytes, writeSafetensors } from '../checkpoint/safetensors-writer.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';

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

/** As in state.json; `run` names the run that wrote it. */
const stateFileSchema = runStateSchema.extend({ run: z.string().optional() });

/**
 * The files of a checkpoint: `model` (every tensor of the student, f32), `optimizer` (Adam's moments, as
 * `first.<name>` and `second.<name>`, f32) and `measured` (packed signs at the last measurement, as `signs.<name>`).
 */
export type CheckpointPart = 'model' | 'optimizer' | 'measured';

/** A checkpoint to be written; its tensors are asked for one by one. */
export interface RunCheckpoint {
  state: RunState;
  tensors: Record<CheckpointPart, TensorSource[]>;
}

/** A checkpoint on disk. */
export class SavedCheckpoint {
  private constructor(
    readonly path: string,
    readonly state: RunState,
  ) {}

  /**
   * Reads its state.
   * @param run the run that it must be of
   * @throws bad-request (it is of another run), bad-file, not-found
   */
  static async open(path: string, run: string): Promise<SavedCheckpoint> {
    const file = join(path, 'state.json');
    let json: unknown;
    try {
      json = JSON.parse(await readFile(file, 'utf8'));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw asOneBitError(error, file);
    }
    const parsed = stateFileSchema.safeParse(json);
    if (!parsed.success) throw new OneBitError('bad-file', `${file} is not the state of a run.`);
    const { run: writer, ...state } = parsed.data;
    if (writer !== undefined && writer !== run) {
      throw new OneBitError(
        'bad-request',
        `${path} is a checkpoint of another run: move it away, choose another --run folder, ` +
          'or use --restart to throw it away.',
      );
    }
    return new SavedCheckpoint(path, state);
  }

  /** Whether it has that file; checkpoints of earlier versions have no `measured`. */
  has(part: CheckpointPart): Promise<boolean> {
    return exists(join(this.path, fileName(part)));
  }

  /** Reads the tensors of a file, one in memory at a time. @throws bad-file where it is damaged */
  async read(
    part: CheckpointPart,
    take: (name: string, bytes: Uint8Array<ArrayBuffer>) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const file = await DataFile.open(join(this.path, fileName(part)));
    try {
      for (const info of await readSafetensorsHeader(file, signal)) {
        const bytes = new Uint8Array(info.byteLength);
        await file.read(bytes, info.offset, signal);
        take(info.name, bytes);
      }
    } finally {
      await file.close();
    }
  }
}

/**
 * Writes a checkpoint under another name and renames it when it is whole and on the disk. Throws no-space and
 * the like; what was there before stays.
 */
export async function writeRunCheckpoint(
  path: string,
  run: string,
  checkpoint: RunCheckpoint,
): Promise<void> {
  const partial = `${path}${partialEnding}`;
  try {
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial);
    for (const [part, sources] of Object.entries(checkpoint.tensors) as [CheckpointPart, TensorSource[]][]) {
      await writeSafetensors(join(partial, fileName(part)), sources);
    }
    await writeWhole(join(partial, 'state.json'), JSON.stringify({ ...checkpoint.state, run }));
    await syncFolder(partial);
    await rm(path, { recursive: true, force: true });
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw asOneBitError(error, path);
  }
}

/** Steps of the complete checkpoints among the names in a run's `checkpoints` folder. */
export function newestFirst(names: readonly string[]): number[] {
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

/** What the name of an unfinished checkpoint ends with. */
export const partialEnding = '.partial';

/** Bytes of its tensors. */
export function checkpointBytes({ tensors }: RunCheckpoint): number {
  return Object.values(tensors)
    .flat()
    .reduce((sum, source) => sum + sourceBytes(source), 0);
}

function fileName(part: CheckpointPart): string {
  return `${part}.safetensors`;
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

/** Makes the names in a folder durable; Windows cannot open folders. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
