import { formatDuration } from '../../server/protocol/duration.ts';
import type { CurveName } from '../../server/protocol/curves.ts';
import type { Metric } from '../../server/protocol/job.ts';
import { formatInteger, formatLoss, unbroken } from '../page/format.ts';
import type { RunCurves } from './run-curves.ts';

export interface CurveKind {
  name: CurveName;
  label: string;
  description: string;
  /** Theme variable of its colour. */
  colour: string;
  /** Dashes, so that curves differ without colour too. */
  dash: number[];
  /** Perplexity has a scale of its own, on the right. */
  scale: 'loss' | 'perplexity' | 'learningRate' | 'tokensPerSecond' | 'signFlips';
  /** Drawn only where its user asks for it. */
  onDemand?: boolean;
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
  {
    name: 'learningRate',
    label: 'Learning rate',
    description: 'Learning rate, on a scale of its own without an axis',
    colour: '--vscode-charts-orange',
    dash: [4, 2],
    scale: 'learningRate',
    onDemand: true,
  },
  {
    name: 'tokensPerSecond',
    label: 'Tokens/s',
    description: 'Tokens trained on in a second, on a scale of its own without an axis',
    colour: '--vscode-foreground',
    dash: [1, 2],
    scale: 'tokensPerSecond',
    onDemand: true,
  },
  {
    name: 'signFlips',
    label: 'Sign flips',
    description:
      'Share of signs that differ from the start, mean over the layers, on a scale without an axis',
    colour: '--vscode-charts-orange',
    dash: [12, 3],
    scale: 'signFlips',
    onDemand: true,
  },
];

/** What is switched off until its user switches it on. */
export const hiddenAtFirst = curveKinds.filter(({ onDemand }) => onDemand === true).map(({ name }) => name);

/** Which curves a run has points of. */
export function presentKinds({ values }: RunCurves): CurveKind[] {
  return curveKinds.filter(({ name }) => values[name].some(Number.isFinite));
}

/** The last value of a curve, and the step where it was measured. */
export function lastValue(data: RunCurves, name: CurveName): { step: number; value: number } | undefined {
  return valueAt(data, name, data.values[name].findLastIndex(Number.isFinite));
}

function firstValue(data: RunCurves, name: CurveName): { step: number; value: number } | undefined {
  return valueAt(data, name, data.values[name].findIndex(Number.isFinite));
}

/** The value of a curve at a point; undefined where it has none. */
export function valueAt(
  data: RunCurves,
  name: CurveName,
  index: number,
): { step: number; value: number } | undefined {
  const [step, value] = [data.steps[index], data.values[name][index]];
  return step === undefined || value === undefined || !Number.isFinite(value) ? undefined : { step, value };
}

/** A step's figures that have no curve, broken between them and not inside. */
export function stepText({
  step,
  seconds,
  tokensPerSecond,
  learningRate,
  gradientNorm,
}: Pick<Metric, 'step' | 'seconds' | 'tokensPerSecond' | 'learningRate' | 'gradientNorm'>): string {
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
export function curveSummary(data: RunCurves): string {
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
