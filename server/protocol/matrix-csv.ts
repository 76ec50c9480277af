import { csvTable } from './csv.ts';
import type { InspectActivationsResult, InspectMatrixResult } from './inspect.ts';

type Row = [series: string, from: number, to: number, value: number];

/**
 * All that is known of a matrix beside its statistics, a value a line: means along rows and columns (`from` and `to` are
 * the first and the last index), counts of the histograms (from edge to edge), the largest values and the spectrum (both
 * are the index; σ₁ has 1).
 */
export function matrixCsv(matrix: InspectMatrixResult): string {
  const along = (series: string, { length, values }: InspectMatrixResult['rowPositive']): Row[] => {
    const run = Math.ceil(length / Math.max(1, values.length));
    return values.map((value, i) => [series, i * run, Math.min(length, (i + 1) * run) - 1, value]);
  };
  const held = (vector: 'g' | 'h'): Row[] => {
    const { profile, linear, log, extremes } = matrix[vector];
    return [
      ...along(vector, profile),
      ...[linear, log].flatMap(({ scale, edges, counts }) =>
        counts.map((count, i): Row => [`${vector}.${scale}`, edges[i] ?? NaN, edges[i + 1] ?? NaN, count]),
      ),
      ...extremes.map(({ index, value }): Row => [`${vector}.extremes`, index, index, value]),
    ];
  };
  return csvTable(
    ['series', 'from', 'to', 'value'],
    [
      ...held('g'),
      ...held('h'),
      ...along('columnPositive', matrix.columnPositive),
      ...along('rowPositive', matrix.rowPositive),
      ...(matrix.spectrum ?? []).map((value, i): Row => ['spectrum', i + 1, i + 1, value]),
    ],
  );
}

/** What went through every matrix; a column that would be empty is left out. */
export function activationsCsv({ matrices }: Pick<InspectActivationsResult, 'matrices'>): string {
  const fields = [
    ...(['inputRms', 'outputRms', 'teacherError', 'teacherInputRms', 'teacherOutputRms'] as const),
  ].filter((field) => matrices.some((matrix) => matrix[field] !== undefined));
  return csvTable(
    ['name', ...fields],
    matrices.map((matrix) => [matrix.name, ...fields.map((field) => matrix[field])]),
  );
}
