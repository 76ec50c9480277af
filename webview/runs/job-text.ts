import { formatDuration } from '../../server/protocol/duration.ts';
import { outputOf, type Job, type JobState } from '../../server/protocol/job.ts';
import { baseName, formatBytes, formatInteger } from '../page/format.ts';

export const jobStateText: Record<JobState, string> = {
  queued: 'Waiting',
  running: 'Running',
  done: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  interrupted: 'Interrupted',
};

/** `Quantize tiny-llama`, `Distill tiny-llama`, `Compare with tiny-llama`. */
export function jobTitle(job: Job): string {
  const { spec } = job;
  switch (spec.kind) {
    case 'quantize':
      return `Quantize ${baseName(spec.model)}`;
    case 'distill':
      return `Distill ${baseName(spec.teacher)}`;
    case 'evaluate':
      return `Compare with ${baseName(spec.teacher)}`;
  }
}

/** What comes of it: a folder, or a report. */
export function jobTarget({ spec }: Job): string {
  const output = outputOf(spec);
  return `→ ${output === undefined ? 'report' : baseName(output)}`;
}

/** What the job does now, or how it ended: `Step 320 of 1,000 · 3 min 20 s left`. */
export function jobStatusText(job: Job): string {
  const progress = job.progress;
  const spent = secondsBetween(job.started, job.ended);
  switch (job.state) {
    case 'queued':
      return 'Waits for the job before it';
    case 'running': {
      if (progress === undefined) return 'Starting';
      const parts = [progress.phase.charAt(0).toUpperCase() + progress.phase.slice(1)];
      if (progress.total > 0) parts.push(countText(progress.done, progress.total, progress.unit));
      if (progress.remainingSeconds !== undefined) {
        parts.push(`${formatDuration(progress.remainingSeconds)} left`);
      }
      return parts.join(' · ');
    }
    case 'done':
      return spent === undefined ? 'Done' : `Took ${formatDuration(spent)}`;
    case 'cancelled':
      return spent === undefined ? 'Cancelled before it began' : `Cancelled after ${formatDuration(spent)}`;
    case 'failed':
      return spent === undefined ? 'Did not start' : `Failed after ${formatDuration(spent)}`;
    case 'interrupted':
      return 'Its process ended early. Run the same command again to continue from the last checkpoint.';
  }
}

function countText(done: number, total: number, unit: string): string {
  if (unit === 'bytes') return `${formatBytes(done)} of ${formatBytes(total)}`;
  return `${formatInteger(done)} of ${formatInteger(total)} ${unit}`;
}

function secondsBetween(start: string | undefined, end: string | undefined): number | undefined {
  if (start === undefined || end === undefined) return undefined;
  const seconds = (Date.parse(end) - Date.parse(start)) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}
