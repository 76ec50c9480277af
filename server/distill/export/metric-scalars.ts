import type { Metric } from '../../protocol/job.ts';

/** The numbers of a line of metrics.jsonl by name, in its order; lists by layer become `name/layer-N`. */
export function metricScalars({
  step: _step,
  signFlips,
  sample: _sample,
  ...figures
}: Metric): [string, number][] {
  const scalars = Object.entries(figures).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  );
  for (const [name, shares] of Object.entries(signFlips ?? {})) {
    for (const [layer, share] of shares.entries()) scalars.push([`signFlips/${name}/layer-${layer}`, share]);
  }
  return scalars;
}
