import type { LayerStatistics } from '../../server/protocol/inspect.ts';
import { formatInteger, formatPercent, formatStatistic } from '../page/format.ts';
import type { Sort } from '../page/host.ts';
import { type LayerMetric, layerMetrics, metricText, type ShownLayer } from './layer-metrics.ts';

export interface LayerColumn {
  id: string;
  label: string;
  description: string;
  numeric: boolean;
  /** Its CSS grid track. */
  track: string;
  /** What rows are ordered by; undefined goes last in either direction. */
  key: (layer: ShownLayer) => number | undefined;
  text: (layer: ShownLayer) => string;
  /** Against another checkpoint, where there is one. */
  change?: (layer: ShownLayer) => { text: string; marked: boolean } | undefined;
}

const narrow = 'minmax(92px, 1fr)';
const wide = 'minmax(132px, 1fr)';

/** The columns for a result: name, shape, and every number that one of its matrices has. */
export function layerColumns(
  layers: ShownLayer[],
  metrics: LayerMetric[] = layerMetrics(layers),
): LayerColumn[] {
  const order = new Map(layers.map((layer, i) => [layer.name, i]));
  return [
    {
      id: 'name',
      label: 'Matrix',
      description: 'Name of the 1-bit matrix; sorts in the order of the model',
      numeric: false,
      track: 'minmax(210px, 2fr)',
      key: (layer) => order.get(layer.name),
      text: (layer) => shortName(layer.name),
    },
    {
      id: 'shape',
      label: 'Shape',
      description: 'Rows × columns of the sign matrix',
      numeric: true,
      track: 'minmax(118px, 1fr)',
      key: (layer) => layer.rows * layer.columns,
      text: (layer) => `${formatInteger(layer.rows)} × ${formatInteger(layer.columns)}`,
    },
    ...metrics.map((metric): LayerColumn => ({
      id: metric.id,
      label: metric.label,
      description: metric.description,
      numeric: true,
      track: metric.label.length > 10 ? wide : narrow,
      key: metric.key,
      text: (layer) => metricText(metric, layer),
    })),
  ];
}

/** Every name begins with `model.layers.`: it says nothing and takes the room. */
export function shortName(name: string): string {
  return name.replace(/^model\.(?=layers\.)/, '');
}

/** `self_attn.q_proj` is `q`. */
export function shortKind(projection: string): string {
  return (projection.split('.').at(-1) ?? projection).replace(/_proj$/, '');
}

/** The rows in order. Equal keys, and no sort at all, keep the order of the model. */
export function sortLayers(
  layers: ShownLayer[],
  columns: LayerColumn[],
  sort: Sort | undefined,
): ShownLayer[] {
  const column = columns.find((c) => c.id === sort?.column);
  if (column === undefined || sort === undefined) return layers;
  const direction = sort.descending ? -1 : 1;
  return [...layers].sort((a, b) => {
    const [x, y] = [column.key(a), column.key(b)];
    if (x === undefined || Number.isNaN(x)) return y === undefined || Number.isNaN(y) ? 0 : 1;
    if (y === undefined || Number.isNaN(y)) return -1;
    return direction * (x - y);
  });
}

/** The order after a click on a column's head: ascending, descending, as in the model. */
export function nextSort(sort: Sort | undefined, column: string): Sort | undefined {
  if (sort?.column !== column) return { column, descending: false };
  return sort.descending ? undefined : { column, descending: true };
}

/** The kinds of matrix that there are, in the order of the model. */
export function projections(layers: LayerStatistics[]): string[] {
  return [...new Set(layers.map((layer) => layer.projection))];
}

/** One line over the table. Means are over the weights, so that large matrices count as they should. */
export function layersSummary(layers: LayerStatistics[]): string {
  const weights = layers.reduce((sum, layer) => sum + layer.rows * layer.columns, 0);
  if (weights === 0) return 'No 1-bit matrices';
  const mean = (value: (layer: LayerStatistics) => number | undefined) => {
    let sum = 0;
    for (const layer of layers) {
      const one = value(layer);
      if (one === undefined) return undefined;
      sum += one * layer.rows * layer.columns;
    }
    return sum / weights;
  };
  const parts = [
    `${formatInteger(layers.length)} ${layers.length === 1 ? 'matrix' : 'matrices'}`,
    `${formatInteger(weights)} signs`,
    `${formatPercent(mean((layer) => layer.positiveShare) ?? NaN, 2)} are +1`,
  ];
  const error = mean((layer) => layer.teacher?.relativeError);
  if (error !== undefined) parts.push(`mean error ${formatStatistic(error)}`);
  const agreement = mean((layer) => layer.teacher?.signAgreement);
  if (agreement !== undefined) parts.push(`${formatPercent(agreement, 2)} as in the teacher`);
  return parts.join(' · ');
}
