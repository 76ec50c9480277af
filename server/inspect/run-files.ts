import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint.ts';
import { DataFile } from '../checkpoint/data-file.ts';
import { dtypeBytes, isFloatDtype } from '../checkpoint/dtype.ts';
import { widenFloats } from '../checkpoint/float-conversion.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { readSafetensorsHeader } from '../checkpoint/safetensors-header.ts';
import { OneBitError } from '../protocol/error.ts';
import type { InspectCheckpointsResult } from '../protocol/inspect.ts';

/** What the inspector needs of a checkpoint: its matrices. */
export type InspectedCheckpoint = Pick<
  Checkpoint,
  'path' | 'kind' | 'tensors' | 'readInto' | 'readFloats' | 'close'
>;

/**
 * Where the tensors of a training run's checkpoint lie: `<run>/checkpoints/step-N` (latent weights) or
 * `<run>/signs/step-N.safetensors` (packed signs); undefined for every other path.
 */
export function runFile(path: string): string | undefined {
  const folder = basename(dirname(path));
  if (folder === 'checkpoints' && /^step-\d+$/.test(basename(path))) return join(path, 'model.safetensors');
  return folder === 'signs' && /^step-\d+\.safetensors$/.test(basename(path)) ? path : undefined;
}

/** Opens a model, or a checkpoint of a training run. @throws what openCheckpoint throws */
export async function openInspected(path: string, signal?: AbortSignal): Promise<InspectedCheckpoint> {
  const file = runFile(path);
  return file === undefined ? openCheckpoint(path, signal) : RunFile.open(path, file, signal);
}

/** The tensors of a run, in one safetensors file without a config. */
class RunFile implements InspectedCheckpoint {
  private constructor(
    readonly path: string,
    readonly kind: Checkpoint['kind'],
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    private readonly file: DataFile,
  ) {}

  static async open(path: string, place: string, signal?: AbortSignal): Promise<RunFile> {
    const file = await DataFile.open(place);
    try {
      const infos = await readSafetensorsHeader(file, signal);
      const tensors = new Map(infos.map((info) => [info.name, info]));
      const scaled = infos.find(({ name }) => tensors.has(`${name}_scale`));
      const kind = scaled === undefined ? 'full' : scaled.dtype === 'U8' ? 'onebit' : 'onebit-training';
      for (const { name, shape } of infos) {
        if (kind === 'full' || !tensors.has(`${name}_scale`)) continue;
        const [out = 0, inner = 0] = shape;
        const across = kind === 'onebit' ? 8 * inner : inner;
        const g = tensors.get(name.replace(/weight$/, 'input_factor'));
        const h = tensors.get(`${name}_scale`);
        if (shape.length === 2 && g?.shape.join() === String(across) && h?.shape.join() === String(out))
          continue;
        throw new OneBitError('bad-file', `${place}: ${name} and its values do not fit: it is damaged.`);
      }
      return new RunFile(path, kind, tensors, file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async readInto(name: string, into: Uint8Array, start = 0, signal?: AbortSignal): Promise<void> {
    const info = this.info(name);
    if (start < 0 || start + into.byteLength > info.byteLength) {
      throw new OneBitError('internal', `${name}: a read past its end.`);
    }
    await this.file.read(into, info.offset + start, signal);
  }

  async readFloats(name: string, signal?: AbortSignal): Promise<Float32Array> {
    const { dtype, byteLength } = this.info(name);
    if (!isFloatDtype(dtype)) throw new OneBitError('bad-file', `${this.path}: ${name} holds ${dtype}.`);
    const bytes = new Uint8Array(byteLength);
    await this.readInto(name, bytes, 0, signal);
    const values = new Float32Array(byteLength / dtypeBytes[dtype]);
    widenFloats(bytes, dtype, values);
    return values;
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info === undefined) throw new OneBitError('missing-tensor', `${this.path} has no tensor ${name}.`);
    return info;
  }
}

/** The training run that a path belongs to: the run's folder, one of its checkpoints, or the model that it wrote. */
export async function runOf(path: string): Promise<string | undefined> {
  const inside = runFile(path) === undefined ? undefined : dirname(dirname(path));
  for (const folder of inside === undefined ? [path, `${path}.run`] : [inside]) {
    const isRun = await stat(join(folder, 'run.json')).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isRun) return folder;
  }
  return undefined;
}

/** A run's checkpoints in order of step; of a step that has both, the one with latent weights. */
export async function runCheckpoints(run: string): Promise<InspectCheckpointsResult> {
  const found = new Map<number, InspectCheckpointsResult['checkpoints'][number]>();
  for (const [folder, pattern, kind] of [
    ['signs', /^step-(\d+)\.safetensors$/, 'packed'],
    ['checkpoints', /^step-(\d+)$/, 'training'],
  ] as const) {
    for (const name of await readdir(join(run, folder)).catch(() => [])) {
      const step = pattern.exec(name)?.[1];
      if (step !== undefined)
        found.set(Number(step), { path: join(run, folder, name), step: Number(step), kind });
    }
  }
  return { checkpoints: [...found.values()].sort((a, b) => a.step - b.step) };
}
