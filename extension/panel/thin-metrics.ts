import type { Metric } from '../../server/protocol/job.ts';

/** More points than this do not show on a screen. */
export const mostMetrics = 2000;

/**
 * At most about `most` lines of a run, evenly spread: the first and the last are there, and every line
 * that was measured on held-out text, since those are few and far between.
 */
export function thinMetrics(metrics: Metric[], most = mostMetrics): Metric[] {
  if (metrics.length <= most) return metrics;
  const stride = metrics.length / most;
  let next = 0;
  return metrics.filter((metric, i) => {
    const due = i >= next;
    if (due) next += stride;
    return due || i === metrics.length - 1 || metric.perplexity !== undefined || metric.sample !== undefined;
  });
}
