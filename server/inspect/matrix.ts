import { OneBitError } from '../protocol/error.ts';
import type { InspectMatrixResult } from '../protocol/inspect.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { positiveShares } from './distribution.ts';
import { withModels, type ComparedWith } from './layers.ts';
import { matrixStatistics, readMatrix } from './matrix-statistics.ts';
import { matrixNames } from './sign-rows.ts';
import { singularValues } from './spectrum.ts';
import { profile, summariseValues } from './value-summary.ts';

export interface InspectMatrixOptions extends ComparedWith {
  /** Singular values of |W| wanted, 0 to 32; needs the teacher. */
  spectrum?: number;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/**
 * Everything about one matrix: the statistics of inspectLayers, the balance along rows and columns, what g and h hold,
 * and the spectrum of the teacher's |W|.
 * @throws bad-request (no such matrix, a spectrum without a teacher), and what inspectLayers throws
 */
export async function inspectMatrix(
  modelPath: string,
  name: string,
  options: InspectMatrixOptions = {},
): Promise<InspectMatrixResult> {
  const { spectrum = 0, signal, onProgress } = options;
  if (spectrum > 0 && options.teacher === undefined) {
    throw new OneBitError('bad-request', 'The spectrum is that of the teacher’s |W|: give the teacher.');
  }
  return withModels(modelPath, options, async (models) => {
    const matrix = matrixNames(models.model).find((one) => one.name === name);
    if (matrix === undefined) {
      throw new OneBitError(
        'bad-request',
        `${modelPath} has no matrix ${name.slice(0, 100)}: give a name such as model.layers.0.self_attn.q_proj.`,
      );
    }
    const read = await readMatrix(matrix, models, signal);
    const { statistics, negative, sums } = await matrixStatistics(read, signal);
    const { rows, columns } = statistics;
    const { g, h } = read.model;
    const result: InspectMatrixResult = {
      statistics,
      rowPositive: profile(positiveShares(negative.rows, columns)),
      columnPositive: profile(positiveShares(negative.columns, rows)),
      g: summariseValues(g),
      h: summariseValues(h),
    };
    if (spectrum > 0 && read.teacher !== undefined && sums !== undefined) {
      const { total, absolute: start } = sums;
      const onStep = (done: number, most: number) =>
        onProgress?.({ phase: 'spectrum', done, total: most, unit: 'steps', message: name });
      const values = await singularValues(
        read.teacher,
        rows,
        columns,
        spectrum,
        { start, total },
        { signal, onStep },
      );
      result.spectrum = values.map((value) => (total > 0 ? value / Math.sqrt(total) : 0));
    }
    return result;
  });
}
