import type { Metric } from '../../protocol/job.ts';
import { metricScalars } from './metric-scalars.ts';

/**
 * A run's metrics as CSV (RFC 4180): `step` and one column for each figure of the run, empty where a step has
 * none. Numbers have all their digits.
 */
export function metricsCsv(metrics: readonly Metric[]): string {
  const rows = metrics.map((metric) => new Map([['step', metric.step], ...metricScalars(metric)]));
  const columns = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  const lines = [columns, ...rows.map((row) => columns.map((column) => row.get(column) ?? ''))];
  return lines.map((line) => `${line.join(',')}\r\n`).join('');
}
