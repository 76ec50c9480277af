import { basename } from 'node:path';
import { metricsCsv } from '../distill/export/metrics-csv.ts';
import { tensorboardEvents } from '../distill/export/tensorboard-events.ts';
import { OneBitError } from '../protocol/error.ts';
import { outputOf, type Job, type Metric } from '../protocol/job.ts';
import type { JobExport, JobExportParams } from '../protocol/job-export.ts';

/**
 * A run's metrics as a file for another tool.
 * @throws bad-value where there is no step yet
 */
export function exportJob(
  job: Job,
  metrics: readonly Metric[],
  format: JobExportParams['format'],
): JobExport {
  if (metrics.length === 0) {
    throw new OneBitError('bad-value', 'This run has no step yet: there is nothing to export.');
  }
  const run = basename(outputOf(job.spec) ?? job.id);
  if (format === 'csv') {
    const content = Buffer.from(metricsCsv(metrics)).toString('base64');
    return { name: `${run}.csv`, content, steps: metrics.length };
  }
  const ended = job.ended === undefined ? Date.now() : Date.parse(job.ended);
  const startedAt = ended / 1000 - (metrics.at(-1)?.seconds ?? 0);
  const content = Buffer.from(tensorboardEvents(metrics, startedAt)).toString('base64');
  // One name whenever it is exported, so that TensorBoard sees one run and not two.
  return { name: `${run}/events.out.tfevents.0.onebit`, content, steps: metrics.length };
}
