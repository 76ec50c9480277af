import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { bitCount } from '../checkpoint/sign-packing.ts';
import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { InspectLayersResult, LayerStatistics } from '../protocol/inspect.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { matrixNames, MatrixRows, type MatrixName } from './sign-rows.ts';

export interface InspectLayersOptions {
  /** The full-precision model that the student came from: adds reconstruction error and sign agreement. */
  teacher?: string;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/**
 * Statistics of every 1-bit matrix of a model, packed or of the training kind: sign balance, the
 * distributions of g and h, and against a teacher ‖W − S ⊙ (h gᵀ)‖ / ‖W‖ and the share of equal signs.
 * Streams in blocks of rows; memory does not grow with the model.
 * @throws unsupported (the model is not 1-bit, or the teacher is), bad-request (teacher of another
 *   shape), and what opening a checkpoint throws
 */
export async function inspectLayers(
  modelPath: string,
  options: InspectLayersOptions = {},
): Promise<InspectLayersResult> {
  const { signal, onProgress } = options;
  const model = await openCheckpoint(modelPath, signal);
  let teacher: Checkpoint | undefined;
  try {
    if (model.kind === 'full') {
      throw new OneBitError(
        'unsupported',
        `${modelPath} is a full-precision model: give a 1-bit one, and this one as its teacher.`,
      );
    }
    teacher = options.teacher === undefined ? undefined : await openCheckpoint(options.teacher, signal);
    if (teacher !== undefined && teacher.kind !== 'full') {
      throw new OneBitError(
        'unsupported',
        `${teacher.path} is 1-bit: the teacher must be a full-precision model.`,
      );
    }
    const names = matrixNames(model);
    const layers: LayerStatistics[] = [];
    for (const matrix of names) {
      throwIfCancelled(signal);
      layers.push(await statistics(matrix, model, teacher, signal));
      onProgress?.({
        phase: 'inspect',
        done: layers.length,
        total: names.length,
        unit: 'tensors',
        message: matrix.name,
      });
    }
    return { model: modelPath, ...(teacher === undefined ? {} : { teacher: options.teacher }), layers };
  } finally {
    await model.close();
    await teacher?.close();
  }
}

async function statistics(
  { name, layer, projection }: MatrixName,
  model: Checkpoint,
  teacher: Checkpoint | undefined,
  signal: AbortSignal | undefined,
): Promise<LayerStatistics> {
  const matrix = new MatrixRows(model, name);
  const { rows, columns } = matrix;
  const g = await model.readFloats(`${name}.input_factor`, signal);
  const h = await model.readFloats(`${name}.weight_scale`, signal);
  const original = teacher === undefined ? undefined : new MatrixRows(teacher, name);
  if (original !== undefined && (original.rows !== rows || original.columns !== columns)) {
    throw new OneBitError(
      'bad-request',
      `${name} is ${rows} × ${columns} in ${model.path} and ${original.rows} × ${original.columns} in ${teacher?.path ?? ''}: that is not its teacher.`,
    );
  }

  let negative = 0;
  const against = { error: 0, total: 0, different: 0 };
  await matrix.eachBlock(
    0,
    rows,
    async (first, last) => {
      const signs = await matrix.signs(first, last, signal);
      for (const byte of signs) negative += bitCount[byte] as number;
      if (original === undefined) return;
      compare(await original.floats(first, last, signal), signs, h.subarray(first, last), g, against);
    },
    signal,
  );
  const count = rows * columns;
  return {
    name,
    layer,
    projection,
    rows,
    columns,
    positiveShare: 1 - negative / count,
    g: distribution(g),
    h: distribution(h),
    ...(original === undefined
      ? {}
      : {
          relativeError: against.total > 0 ? Math.sqrt(against.error / against.total) : 0,
          signAgreement: 1 - against.different / count,
        }),
  };
}

/** Adds a block of rows to the sums: (W − S ⊙ h gᵀ)², W², and how many signs differ. */
function compare(
  weights: Float32Array,
  signs: Uint8Array,
  h: Float32Array,
  g: Float32Array,
  sums: { error: number; total: number; different: number },
): void {
  const columns = g.length;
  let { error, total, different } = sums;
  for (let i = 0; i < h.length; i++) {
    const value = h[i] as number;
    for (let j = 0; j < columns; j++) {
      const at = i * columns + j;
      const weight = weights[at] as number;
      const bit = ((signs[at >> 3] as number) >> (at & 7)) & 1;
      const difference = weight - (1 - 2 * bit) * value * (g[j] as number);
      error += difference * difference;
      total += weight * weight;
      different += bit ^ (weight < 0 ? 1 : 0);
    }
  }
  Object.assign(sums, { error, total, different });
}

function distribution(values: Float32Array): { mean: number; std: number; min: number; max: number } {
  let [sum, min, max] = [0, Infinity, -Infinity];
  for (const value of values) {
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, std: Math.sqrt(squares / values.length), min, max };
}
