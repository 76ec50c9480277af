import { formatDuration } from '../../server/protocol/duration.ts';
import type { Metric } from '../../server/protocol/job.ts';
import { formatInteger, formatLoss, unbroken } from '../page/format.ts';

export type CurveName = 'loss' | 'kl' | 'hidden' | 'nll' | 'perplexity';

export interface CurveKind {
  name: CurveName;
  label: string;
  description: string;
  /** Theme variable of its colour. */
  colour: string;
  /** Dashes, so that curves differ without colour too. */
  dash: number[];
  /** Perplexity has a scale of its own, on the right. */
  scale: 'loss' | 'perplexity';
}

export const curveKinds: CurveKind[] = [
  {
    name: 'loss',
    label: 'Loss',
    description: 'What training minimises',
    colour: '--vscode-charts-blue',
    dash: [],
    scale: 'loss',
  },
  {
    name: 'kl',
    label: 'KL',
    description: 'Divergence from the teacher’s next-token distribution',
    colour: '--vscode-charts-green',
    dash: [8, 4],
    scale: 'loss',
  },
  {
    name: 'hidden',
    label: 'Hidden',
    description: 'Distance from the teacher’s hidden states',
    colour: '--vscode-charts-yellow',
    dash: [2, 3],
    scale: 'loss',
  },
  {
    name: 'nll',
    label: 'NLL',
    description: 'Negative log-likelihood of the text',
    colour: '--vscode-charts-red',
    dash: [10, 3, 2, 3],
    scale: 'loss',
  },
  {
    name: 'perplexity',
    label: 'Perplexity',
    description: 'Perplexity on held-out text; its scale is on the right',
    colour: '--vscode-charts-purple',
    dash: [],
    scale: 'perplexity',
  },
];

export interface CurveData {
  steps: number[];
  /** Only the curves that have a point; null where a step has none. */
  values: Partial<Record<CurveName, (number | null)[]>>;
}

/** Columns for the plot. Values that are no numbers, as after a divergence, become gaps. */
export function curveData(metrics: Metric[]): CurveData {
  const values: CurveData['values'] = {};
  for (const { name } of curveKinds) {
    const column = metrics.map((metric) => {
      const value = metric[name];
      return value !== undefined && Number.isFinite(value) ? value : null;
    });
    if (column.some((value) => value !== null)) values[name] = column;
  }
  return { steps: metrics.map((metric) => metric.step), values };
}

/** The last value of a curve, and the step where it was measured. */
export function lastValue(data: CurveData, name: CurveName): { step: number; value: number } | undefined {
  const column = data.values[name] ?? [];
  for (let i = column.length - 1; i >= 0; i--) {
    const value = column[i];
    const step = data.steps[i];
    if (value !== null && value !== undefined && step !== undefined) return { step, value };
  }
  return undefined;
}

function firstValue(data: CurveData, name: CurveName): { step: number; value: number } | undefined {
  const column = data.values[name] ?? [];
  const i = column.findIndex((value) => value !== null);
  const value = column[i];
  const step = data.steps[i];
  return value === null || value === undefined || step === undefined ? undefined : { step, value };
}

/** A step's figures that have no curve, broken between them and not inside. */
export function stepText({ step, seconds, tokensPerSecond, learningRate, gradientNorm }: Metric): string {
  return [
    `Step ${formatInteger(step)}`,
    formatDuration(seconds),
    `${formatInteger(tokensPerSecond)} tokens/s`,
    `learning rate ${Number(learningRate.toPrecision(2))}`,
    ...(gradientNorm === undefined ? [] : [`gradient norm ${Number(gradientNorm.toPrecision(3))}`]),
  ]
    .map(unbroken)
    .join(' · ');
}

/** The picture in words. */
export function curveSummary(data: CurveData): string {
  const sentences: string[] = [];
  const describe = (name: CurveName, label: string) => {
    const [first, last] = [firstValue(data, name), lastValue(data, name)];
    if (first === undefined || last === undefined) return;
    sentences.push(
      first.step === last.step
        ? `${label} ${formatLoss(last.value)} at step ${formatInteger(last.step)}.`
        : `${label} ${formatLoss(first.value)} at step ${formatInteger(first.step)}, ` +
            `${formatLoss(last.value)} at step ${formatInteger(last.step)}.`,
    );
  };
  describe('loss', 'Loss');
  describe('perplexity', 'Held-out perplexity');
  return sentences.length === 0 ? 'No measurements yet.' : sentences.join(' ');
}
