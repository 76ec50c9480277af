import { csvTable } from './csv.ts';
import type { InspectLayersResult, LayerStatistics } from './inspect.ts';

const parts = ['mean', 'std', 'min', 'max'] as const;
const vectors = ['rowBalance', 'columnBalance', 'g', 'h'] as const;
const teacherFields = ['relativeError', 'cosine', 'signAgreement', 'energyShare'] as const;
const otherFields = ['signAgreement', 'gChange', 'hChange'] as const;

/** A column's head and its value in a row. */
type Column = [head: string, value: (layer: LayerStatistics) => string | number | undefined];

/**
 * The layers as a table of comma-separated values with a head (RFC 4180, lines end with \n), numbers at full precision.
 * Outlier inputs stand as `channel:ratio`, separated by spaces. What no row has is left out.
 */
export function layersCsv({ layers }: Pick<InspectLayersResult, 'layers'>): string {
  const columns: Column[] = [
    ['name', (layer) => layer.name],
    ['layer', (layer) => layer.layer],
    ['projection', (layer) => layer.projection],
    ['rows', (layer) => layer.rows],
    ['columns', (layer) => layer.columns],
    ['positiveShare', (layer) => layer.positiveShare],
    ...vectors.flatMap((vector) =>
      parts.map((part): Column => [`${vector}.${part}`, (layer) => layer[vector][part]]),
    ),
    [
      'outlierInputs',
      ({ outlierInputs }) => outlierInputs.map(({ channel, ratio }) => `${channel}:${ratio}`).join(' '),
    ],
    ['nearZeroShare', (layer) => layer.nearZeroShare],
    ...teacherFields.map((field): Column => [`teacher.${field}`, (layer) => layer.teacher?.[field]]),
    ...otherFields.map((field): Column => [`other.${field}`, (layer) => layer.other?.[field]]),
  ];
  const shown = columns.filter(([, value]) => layers.some((layer) => value(layer) !== undefined));
  return csvTable(
    shown.map(([head]) => head),
    layers.map((layer) => shown.map(([, value]) => value(layer))),
  );
}
