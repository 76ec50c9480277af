import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { InspectLayersResult, LayerStatistics } from '../protocol/inspect.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { ReadAhead } from '../svid/read-ahead.ts';
import type { LayersCache } from './layers-cache.ts';
import { matrixStatistics, readMatrix, type InspectedModels } from './matrix-statistics.ts';
import { recurringOutliers } from './outliers.ts';
import { openInspected, type InspectedCheckpoint } from './run-files.ts';
import { matrixNames } from './sign-rows.ts';

/** What a model is compared with: paths of checkpoints of its shape. */
export interface ComparedWith {
  /** The full-precision model that the student came from. */
  teacher?: string;
  /** Another 1-bit checkpoint. */
  other?: string;
}

export interface InspectLayersOptions extends ComparedWith {
  /** Where results are kept; without one everything is computed. */
  cache?: LayersCache;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/**
 * Statistics of every 1-bit matrix of a model, packed or of the training kind (docs/inspect.md has the formulas). One
 * matrix is read while the one before it is computed; memory does not grow with the number of layers.
 * @throws unsupported (the model is not 1-bit, or the teacher is), bad-request (checkpoints of another
 *   shape), bad-value, and what opening a checkpoint throws
 */
export async function inspectLayers(
  modelPath: string,
  options: InspectLayersOptions = {},
): Promise<InspectLayersResult> {
  const { teacher, other, cache, signal, onProgress } = options;
  return withModels(modelPath, options, async (models) => {
    const said = {
      model: modelPath,
      ...(teacher === undefined ? {} : { teacher }),
      ...(other === undefined ? {} : { other }),
    };
    const key = await cache?.keyOf(models);
    const known = key === undefined ? undefined : await cache?.read(key);
    if (known !== undefined) return { ...known, ...said };
    const names = matrixNames(models.model);
    const started = performance.now();
    const layers: LayerStatistics[] = [];
    const read = new ReadAhead(names.length, 2, async (i) => {
      throwIfCancelled(signal);
      const matrix = names[i] as (typeof names)[number];
      return (await matrixStatistics(await readMatrix(matrix, models, signal), signal)).statistics;
    });
    try {
      for (let i = 0; i < names.length; i++) {
        const statistics = await read.take(i);
        layers.push(statistics);
        onProgress?.({
          phase: 'inspect',
          done: layers.length,
          total: names.length,
          unit: 'tensors',
          message: statistics.name,
          remainingSeconds:
            (((performance.now() - started) / 1000) * (names.length - layers.length)) / layers.length,
        });
      }
    } finally {
      await read.settled();
    }
    const result = { ...said, layers, recurringOutliers: recurringOutliers(layers), cached: false };
    if (key !== undefined) await cache?.write(key, result);
    return result;
  });
}

/** Opens the checkpoints, checks their kinds, and closes them when `use` has ended. */
export async function withModels<T>(
  modelPath: string,
  { teacher, other, signal }: ComparedWith & { signal?: AbortSignal },
  use: (models: InspectedModels) => Promise<T>,
): Promise<T> {
  const opened: InspectedCheckpoint[] = [];
  const open = async (path: string): Promise<InspectedCheckpoint> => {
    const checkpoint = await openInspected(path, signal);
    opened.push(checkpoint);
    return checkpoint;
  };
  try {
    const models: InspectedModels = { model: await open(modelPath) };
    if (models.model.kind === 'full') {
      throw new OneBitError(
        'unsupported',
        `${modelPath} is a full-precision model: give a 1-bit one, and this one as its teacher.`,
      );
    }
    if (teacher !== undefined) {
      models.teacher = await open(teacher);
      if (models.teacher.kind !== 'full') {
        throw new OneBitError(
          'unsupported',
          `${teacher} is 1-bit: the teacher must be a full-precision model.`,
        );
      }
    }
    if (other !== undefined) {
      models.other = await open(other);
      if (models.other.kind === 'full') {
        throw new OneBitError('unsupported', `${other} is a full-precision model: give it as the teacher.`);
      }
    }
    return await use(models);
  } finally {
    await Promise.all(opened.map((checkpoint) => checkpoint.close()));
  }
}
