import type { Metric } from '../../server/protocol/job.ts';
import { formatInteger, formatPercent } from '../page/format.ts';

/** What a run's last measurement says beside its figures. */
export interface Measurement {
  step: number;
  /** Shares of each layer's signs that have turned, with a sentence for each. */
  layers: { sinceLast: number; sinceStart: number; text: string }[];
  /** The held-out prompt, and how the models go on; the teacher's is there where a teacher is. */
  sample: { prompt: string; completion: string; teacher?: string } | undefined;
}

/** The last measurement of a run; undefined before the first. */
export function lastMeasurement(metrics: readonly Metric[]): Measurement | undefined {
  const last = metrics.findLast(({ signFlips, sample }) => signFlips !== undefined || sample !== undefined);
  if (last === undefined) return undefined;
  const { signFlips, sample } = last;
  // Only a run's first sample has the prompt and the teacher's completion.
  const first = metrics.find((metric) => metric.sample?.prompt !== undefined)?.sample;
  return {
    step: last.step,
    layers: (signFlips?.sinceLast ?? []).map((sinceLast, layer) => {
      const sinceStart = signFlips?.sinceStart[layer] ?? 0;
      const text =
        `Layer ${layer}: ${formatPercent(sinceLast, 2)} since the measurement before, ` +
        `${formatPercent(sinceStart, 2)} since the start`;
      return { sinceLast, sinceStart, text };
    }),
    sample:
      sample === undefined
        ? undefined
        : { prompt: first?.prompt ?? '', completion: sample.completion, teacher: first?.teacher },
  };
}

/** The mean over the layers, in words. */
export function signFlipSummary({ layers, step }: Measurement): string {
  const mean = (shares: number[]) => shares.reduce((sum, share) => sum + share, 0) / shares.length;
  return (
    `Signs turned at step ${formatInteger(step)}: ${formatPercent(mean(layers.map((l) => l.sinceLast)), 2)} ` +
    `since the measurement before, ${formatPercent(mean(layers.map((l) => l.sinceStart)), 2)} since the start. ` +
    'By layer, since the start:'
  );
}
