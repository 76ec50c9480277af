import { shareDone, type Job } from '../../server/protocol/job.ts';
import type { ModelStatus } from '../../server/protocol/model.ts';
import type { LinkState } from '../panel/panel-link.ts';

/** Everything that the status bar item reflects. */
export interface StatusInputs {
  /** Why there are no completions in the active editor; undefined: they are on. */
  completionsOff: 'everywhere' | 'language' | 'file' | undefined;
  link: LinkState;
  /** Undefined while not connected. */
  model: ModelStatus | undefined;
  jobs: readonly Job[];
  /** Completions that this window waits for. */
  generating: number;
  /** Why the last completion failed; undefined after a good one. */
  completionError: string | undefined;
}

export interface StatusView {
  /** With a `$(codicon)`. */
  text: string;
  /** Lines of plain text. */
  tooltip: string[];
  isError: boolean;
  /** For screen readers. */
  label: string;
}

/** `1.3 GB`, `512 kB`: decimal units, as disks and the paper count. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** `45 s`, `12 min`, `3 h 20 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 59.5) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 0..100, or undefined before the job's main work. */
export function jobPercent(job: Job): number | undefined {
  const share = shareDone(job);
  return share === undefined ? undefined : Math.floor(100 * share);
}

export function jobTitle(job: Job): string {
  return { quantize: 'Quantizing', distill: 'Distilling', evaluate: 'Comparing' }[job.spec.kind];
}

/** The job's state in one line: `distill 120 of 300 steps, 12 min left`. */
export function jobProgressLine(job: Job): string {
  const { progress } = job;
  if (progress === undefined) return job.state === 'queued' ? 'waiting for another job' : 'starting';
  const loss = progress.metrics?.loss;
  return [
    `${progress.phase} ${countText(progress)}`,
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(3)}`]),
    ...(progress.remainingSeconds === undefined ? [] : [`${formatDuration(progress.remainingSeconds)} left`]),
  ].join(', ');
}

function countText({ done, total, unit }: NonNullable<Job['progress']>): string {
  if (unit === 'bytes') return `${formatBytes(done)} of ${formatBytes(total)}`;
  return `${done} of ${total} ${unit}`;
}

function modelLines(model: ModelStatus | undefined): string[] {
  if (model?.model === undefined) return [];
  const { memory } = model;
  const lines = [`Model: ${model.model.name}`];
  if (memory !== undefined) {
    lines.push(
      `Memory: ${formatBytes(memory.modelBytes)} (${formatBytes(memory.fp16ModelBytes)} in fp16), ` +
        `KV cache ${formatBytes(memory.kvCacheBytes)}`,
      `Runs on: ${memory.device.name} (${memory.device.path})`,
      ...(memory.device.reason === undefined ? [] : [`Why: ${memory.device.reason}`]),
    );
  } else if (model.state === 'unloaded') {
    lines.push('Unloaded while idle; the next completion loads it again.');
  }
  return lines;
}

/** What to show. Errors come first, then what takes long, then what is going on, then what is. */
export function statusView(inputs: StatusInputs): StatusView {
  const { link, model } = inputs;
  const job = inputs.jobs.find(({ state }) => state === 'running');
  const { completionsOff } = inputs;
  const where = { everywhere: '', language: ' for this language', file: ' for this file' };
  const completions =
    completionsOff === undefined ? 'Completions are on.' : `Completions are off${where[completionsOff]}.`;
  const click = completionsOff === undefined ? 'Click to turn them off.' : 'Click to turn them on.';
  const details = modelLines(model);
  if (job !== undefined) details.push(`${jobTitle(job)}: ${jobProgressLine(job)}`);
  const view = (icon: string, word: string, why?: string, isError = false): StatusView => ({
    text: `$(${icon}) OneBit${word === '' ? '' : `: ${word}`}`,
    tooltip: [
      ...(why === undefined ? [] : [why]),
      `${completions} ${isError ? 'Click for the menu.' : click}`,
      ...details,
    ],
    isError,
    label: `OneBit, ${word === '' ? 'ready' : word}`,
  });

  if (link.state === 'failed') return view('error', 'error', link.error ?? 'The server failed.', true);
  if (model?.state === 'failed') {
    return view('error', 'error', model.error ?? 'The model could not be loaded.', true);
  }
  if (job !== undefined && link.state === 'connected') {
    const percent = jobPercent(job);
    return view('sync~spin', `${jobTitle(job).toLowerCase()}${percent === undefined ? '' : ` ${percent}%`}`);
  }
  if (link.state === 'starting') return view('loading~spin', 'starting', 'The server is starting.');
  if (model?.state === 'loading') return view('loading~spin', 'loading', 'The model is being loaded.');
  if (completionsOff !== undefined) {
    return view('circle-slash', completionsOff === 'everywhere' ? 'off' : 'off here');
  }
  if (inputs.completionError !== undefined) return view('warning', 'error', inputs.completionError, true);
  if (link.state === 'stopped') {
    return view('debug-pause', 'stopped', 'The server is not running; it starts when it is needed.');
  }
  if (inputs.generating > 0) return view('loading~spin', '', 'Completing …');
  return view('symbol-boolean', '');
}
