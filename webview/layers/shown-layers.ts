import type { InspectActivationsResult, InspectLayersResult } from '../../server/protocol/inspect.ts';
import type { Compared } from './comparison.ts';
import { type LayerColumn, layerColumns } from './layer-columns.ts';
import { type LayerMetric, layerMetrics, type ShownLayer } from './layer-metrics.ts';

/** The layers as map and table show them. */
export interface ShownLayers extends Compared {
  /** Whether the numbers are changes against the other checkpoint. */
  differences: boolean;
  layers: ShownLayer[];
  metrics: LayerMetric[];
  columns: LayerColumn[];
}

/** Of the changes in a column this share is marked: the largest. */
const markedShare = 0.1;

/**
 * The numbers of a result; beside another checkpoint their changes, or the largest of these marked.
 * @param activations what went through the matrices on a text
 */
export function shownLayers(
  { result, before }: Compared,
  differences: boolean,
  activations?: InspectActivationsResult,
): ShownLayers {
  const byName = new Map(activations?.matrices.map((matrix) => [matrix.name, matrix]));
  const layers: ShownLayer[] = result.layers.map((layer) => ({
    ...layer,
    activations: byName.get(layer.name),
  }));
  const values = layerMetrics(layers);
  if (before === undefined) {
    return { result, differences: false, layers, metrics: values, columns: layerColumns(layers, values) };
  }
  const changes = values.map((metric) => changeOf(metric, before));
  const metrics = differences ? values.map((metric, i) => changes[i] ?? metric) : values;
  const columns = layerColumns(layers, metrics).map((column): LayerColumn => {
    const change = changes[values.findIndex((metric) => metric.id === column.id)];
    if (change === undefined) return column;
    const least = markedFrom(layers, change);
    return {
      ...column,
      change: (layer) => {
        const value = change.key(layer);
        if (value === undefined) return undefined;
        return { text: change.format(value), marked: value !== 0 && Math.abs(value) >= least };
      },
    };
  });
  return { result, before, differences, layers, metrics, columns };
}

/** The change of a metric against the other checkpoint; undefined where that has no such number. */
function changeOf(metric: LayerMetric, before: InspectLayersResult): LayerMetric | undefined {
  const others = new Map(before.layers.map((layer) => [layer.name, layer]));
  if (!before.layers.some((layer) => metric.key(layer) !== undefined)) return undefined;
  return {
    ...metric,
    label: `Δ ${metric.label}`,
    description: `Change against the other checkpoint. ${metric.description}`,
    middle: 0,
    key: (layer) => {
      const other = others.get(layer.name);
      const [now, then] = [metric.key(layer), other && metric.key(other)];
      return now === undefined || then === undefined ? undefined : now - then;
    },
    format: (value) => (value === 0 ? '0' : `${value < 0 ? '−' : '+'}${metric.format(Math.abs(value))}`),
  };
}

/** The size from which on changes are among the largest. */
function markedFrom(layers: ShownLayer[], change: LayerMetric): number {
  const sizes = layers.map((layer) => Math.abs(change.key(layer) ?? 0)).sort((a, b) => b - a);
  return sizes[Math.max(0, Math.ceil(sizes.length * markedShare) - 1)] ?? Infinity;
}
