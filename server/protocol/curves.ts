import { z } from './schema.ts';
import type { Metric } from './progress.ts';

/** Figures of a run that are curves; `signFlips` is the mean over the layers of the shares since the start. */
export const curveNames = [
  'loss',
  'kl',
  'hidden',
  'nll',
  'perplexity',
  'learningRate',
  'gradientNorm',
  'tokensPerSecond',
  'signFlips',
] as const;
export type CurveName = (typeof curveNames)[number];

/** What a curve may be drawn over. */
export const curveAxes = ['step', 'seconds', 'tokens'] as const;
export type CurveAxis = (typeof curveAxes)[number];

/** `job/curves`: a run's points as columns, so many at a time. */
export const jobCurvesParamsSchema = z.object({
  id: z.string().min(1).max(200),
  /** Where to read on: `next` of the answer before. */
  from: z.number().int().min(0).default(0),
});
export type JobCurvesParams = z.input<typeof jobCurvesParamsSchema>;

/** Columns are little-endian floats in base64, one number a point; NaN where a step has no such figure. */
export interface JobCurves {
  points: number;
  /** Where the next points begin in the run's metrics; what is written later is found there too. */
  next: number;
  /** Whether that is the end of what has been written. */
  complete: boolean;
  /** float64 */
  axes: Record<CurveAxis, string>;
  /** float32; only the figures that one of these points has. */
  columns: Partial<Record<CurveName, string>>;
  /** The steps that were measured on held-out text, with sign flips and completions. */
  measured: Metric[];
}

/** The value of a curve at a step; NaN where there is none. */
export function curveValue(metric: Metric, name: CurveName): number {
  if (name !== 'signFlips') return metric[name] ?? NaN;
  const shares = metric.signFlips?.sinceStart;
  if (shares === undefined || shares.length === 0) return NaN;
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Whether the step was measured on held-out text. */
export function isMeasured(metric: Metric): boolean {
  return metric.perplexity !== undefined || metric.signFlips !== undefined || metric.sample !== undefined;
}
