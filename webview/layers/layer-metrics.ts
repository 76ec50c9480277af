import type { InspectActivationsResult, LayerStatistics } from '../../server/protocol/inspect.ts';
import { formatInteger, formatPercent, formatRatio, formatStatistic, none } from '../page/format.ts';

/** A matrix with everything that is known of it. */
export interface ShownLayer extends LayerStatistics {
  /** What went through it on a text. */
  activations?: InspectActivationsResult['matrices'][number];
}

/** A number that every matrix has, or some have: a column of the table, and a colouring of the map. */
export interface LayerMetric {
  id: string;
  label: string;
  description: string;
  /** Undefined where the matrix has none. */
  key: (layer: ShownLayer) => number | undefined;
  format: (value: number) => string;
  /** Colours go both ways from this value; without one, from the smallest to the largest. */
  middle?: number;
  /** Values over zero of very different sizes: colours go by their logarithm. */
  logarithmic?: boolean;
}

const percent = (value: number) => formatPercent(value, 2);

function ofVector(vector: 'g' | 'h', side: string): LayerMetric[] {
  const words = { mean: 'Mean', std: 'Standard deviation', min: 'Smallest', max: 'Largest' } as const;
  return (['mean', 'std', 'min', 'max'] as const).map((statistic) => ({
    id: `${vector}.${statistic}`,
    label: `${vector} ${statistic}`,
    description: `${words[statistic]} of ${vector}, the fp16 vector on the ${side} side`,
    key: (layer) => layer[vector][statistic],
    format: formatStatistic,
  }));
}

function ofBalance(balance: 'rowBalance' | 'columnBalance', one: string): LayerMetric[] {
  const words = {
    std: 'Standard deviation of the share of +1',
    min: 'Smallest share of +1',
    max: 'Largest share of +1',
  } as const;
  return (['std', 'min', 'max'] as const).map((statistic) => ({
    id: `${balance}.${statistic}`,
    label: `${one} +1 ${statistic}`,
    description: `${words[statistic]}, ${one.toLowerCase()} by ${one.toLowerCase()}`,
    key: (layer) => layer[balance][statistic],
    format: percent,
    ...(statistic === 'std' ? {} : { middle: 0.5 }),
  }));
}

const onText: LayerMetric[] = (
  [
    [
      'teacherError',
      'Output error',
      "Error of the output against the teacher's on the text: ‖y − y′‖ ÷ ‖y′‖",
    ],
    ['inputRms', 'Input RMS', 'Root mean square of what goes in on the text'],
    ['outputRms', 'Output RMS', 'Root mean square of what comes out on the text, after the LayerNorm'],
    ['teacherInputRms', 'Teacher in', "Root mean square of what goes into the teacher's matrix on the text"],
    [
      'teacherOutputRms',
      'Teacher out',
      "Root mean square of what comes out of the teacher's matrix on the text",
    ],
  ] as const
).map(([id, label, description]) => ({
  ...{ id, label, description, format: formatStatistic, logarithmic: true },
  key: (layer) => layer.activations?.[id],
}));

/** All there are, in the order of the table's columns. */
const all: LayerMetric[] = [
  {
    id: 'positiveShare',
    label: '+1 signs',
    description: 'Share of +1 among the signs; 50% is balanced',
    key: (layer) => layer.positiveShare,
    format: percent,
    middle: 0.5,
  },
  {
    id: 'relativeError',
    label: 'Error',
    description: 'Reconstruction error against the teacher: ‖W − S ⊙ (h gᵀ)‖ ÷ ‖W‖',
    key: (layer) => layer.teacher?.relativeError,
    format: formatStatistic,
  },
  {
    id: 'signAgreement',
    label: 'Same signs',
    description: "Share of signs equal to the teacher's",
    key: (layer) => layer.teacher?.signAgreement,
    format: percent,
  },
  {
    id: 'cosine',
    label: 'Cosine',
    description: "Cosine between the teacher's W and S ⊙ (h gᵀ), which does not look at the scale",
    key: (layer) => layer.teacher?.cosine,
    format: formatStatistic,
  },
  {
    id: 'energyShare',
    label: 'σ₁ energy',
    description:
      "Share of the energy of the teacher's |W| in its first singular value: what g and h can carry",
    key: (layer) => layer.teacher?.energyShare,
    format: percent,
  },
  {
    id: 'signFlips',
    label: 'Sign flips',
    description: 'Share of signs that differ from the other checkpoint',
    key: (layer) => layer.other && 1 - layer.other.signAgreement,
    format: percent,
  },
  ...(['g', 'h'] as const).map((vector): LayerMetric => ({
    id: `${vector}Change`,
    label: `${vector} change`,
    description: `Change of ${vector} against the other checkpoint: ‖${vector} − ${vector}′‖ ÷ ‖${vector}′‖`,
    key: (layer) => layer.other?.[`${vector}Change`],
    format: formatStatistic,
  })),
  ...onText,
  {
    id: 'nearZeroShare',
    label: 'Near zero',
    description: 'Share of latent weights under 5% of their root mean square: an update may turn their sign',
    key: (layer) => layer.nearZeroShare,
    format: percent,
  },
  ...ofBalance('rowBalance', 'Row'),
  ...ofBalance('columnBalance', 'Column'),
  {
    id: 'outliers',
    label: 'Outliers',
    description: 'Input channels whose |g| is over four times the median, 32 at most',
    key: (layer) => layer.outlierInputs.length,
    format: formatInteger,
  },
  {
    id: 'topOutlier',
    label: 'Top outlier',
    description: 'Largest |g| over the median, where that is over four',
    key: (layer) => layer.outlierInputs[0]?.ratio,
    format: formatRatio,
  },
  ...ofVector('g', 'input'),
  ...ofVector('h', 'output'),
];

/** Those that one of the matrices has at least. */
export function layerMetrics(layers: ShownLayer[]): LayerMetric[] {
  return all.filter((metric) => layers.some((layer) => metric.key(layer) !== undefined));
}

/** The one that the map shows: the chosen one if it is there, what was lost or changed if known, the balance. */
export function mapMetric(metrics: LayerMetric[], chosen: string | undefined): LayerMetric | undefined {
  for (const id of [chosen, 'signFlips', 'relativeError']) {
    const found = metrics.find((metric) => metric.id === id);
    if (found !== undefined) return found;
  }
  return metrics[0];
}

/** The value as text; a dash where there is none. */
export function metricText(metric: LayerMetric, layer: ShownLayer): string {
  const value = metric.key(layer);
  return value === undefined ? none : metric.format(value);
}
