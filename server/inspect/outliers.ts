import type { InspectLayersResult, LayerStatistics } from '../protocol/inspect.ts';

/** An input channel is an outlier where |g| is over this many times the median. */
const outlierRatio = 4;
const maxOutliers = 32;
const maxRecurring = 64;

/** The outlier input channels of a matrix, largest first. */
export function outlierInputs(g: Float32Array): LayerStatistics['outlierInputs'] {
  const sizes = g.map(Math.abs);
  const sorted = sizes.slice().sort();
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  if (!(median > 0)) return [];
  return Array.from(sizes, (size, channel) => ({ channel, ratio: size / median }))
    .filter(({ ratio }) => ratio > outlierRatio)
    .sort((a, b) => b.ratio - a.ratio || a.channel - b.channel)
    .slice(0, maxOutliers);
}

/** What a matrix reads: matrices of different inputs share no channels. */
function inputOf(projection: string): string {
  if (projection.endsWith('o_proj')) return 'attention output';
  return projection.endsWith('down_proj') ? 'inner state' : 'hidden state';
}

/** Channels that are outliers in two or more matrices that read the same kind of input, most often first. */
export function recurringOutliers(layers: LayerStatistics[]): InspectLayersResult['recurringOutliers'] {
  const found = new Map<string, InspectLayersResult['recurringOutliers'][number]>();
  for (const { name, projection, columns, outlierInputs } of layers) {
    for (const { channel } of outlierInputs) {
      const key = `${inputOf(projection)} ${columns} ${channel}`;
      const entry = found.get(key) ?? { columns, channel, matrices: [] };
      entry.matrices.push(name);
      found.set(key, entry);
    }
  }
  return [...found.values()]
    .filter(({ matrices }) => matrices.length > 1)
    .sort((a, b) => b.matrices.length - a.matrices.length || a.channel - b.channel)
    .slice(0, maxRecurring);
}
