import { basename } from 'node:path';
import { outputOf, type Job } from '../../server/protocol/job.ts';
import type { ModelStatus, ModelSummary } from '../../server/protocol/model.ts';
import { formatBytes, jobPercent, jobProgressLine } from './status-state.ts';

/** A row of a tree, before VS Code makes an item of it. */
export interface TreeRow {
  /** Of the model or the job. */
  id: string;
  label: string;
  description: string;
  /** Plain text, several lines. */
  tooltip: string;
  /** Name of a codicon. */
  icon: string;
  /** What the menus of package.json look at. */
  context: string;
  /** What a folder of its own is opened for. */
  folder: string;
  /** For screen readers. */
  spoken: string;
}

/** `1 bit, 2.4 MB, fills in the middle`. */
export function modelDescription(model: ModelSummary): string {
  const kind = { onebit: '1 bit', full: 'full precision', 'onebit-training': '1 bit, in training' }[
    model.kind
  ];
  return `${kind}, ${formatBytes(model.bytes)}${model.infill ? ', fills in the middle' : ''}`;
}

/** Whether starting the job once more goes on with it. */
export function canResume(job: Job): boolean {
  return job.state === 'cancelled' || job.state === 'interrupted';
}

const modelIcons: Record<ModelSummary['kind'], string> = {
  onebit: 'symbol-boolean',
  full: 'symbol-numeric',
  'onebit-training': 'mortar-board',
};

/** The models that the server knows, the one that completes marked. */
export function modelRows(models: readonly ModelSummary[], status: ModelStatus | undefined): TreeRow[] {
  return models.map((model) => {
    const state = status?.model?.id === model.id ? status.state : undefined;
    const inUse = state === 'ready' || state === 'unloaded' || state === 'loading';
    const word =
      state && { none: '', loading: 'loading', ready: 'in use', unloaded: 'in use', failed: 'failed' }[state];
    const what = modelDescription(model);
    const description = word ? `${word}, ${what}` : what;
    return {
      id: model.id,
      label: model.name,
      description,
      tooltip: [
        model.id === 'starter' ? 'Shipped with OneBit' : model.path,
        `${formatParameters(model.parameters)} parameters`,
        ...(state === 'failed' && status?.error !== undefined ? [status.error] : []),
      ].join('\n'),
      icon: stateIcon(state) ?? modelIcons[model.kind],
      context: `model.${model.kind}${inUse ? '.inUse' : ''}`,
      folder: model.path,
      spoken: `${model.name}, ${description}`,
    };
  });
}

function stateIcon(state: ModelStatus['state'] | undefined): string | undefined {
  if (state === 'loading') return 'loading~spin';
  if (state === 'failed') return 'error';
  return state === 'ready' || state === 'unloaded' ? 'check' : undefined;
}

const jobIcons: Record<Job['state'], string> = {
  queued: 'watch',
  running: 'sync~spin',
  done: 'pass',
  failed: 'error',
  cancelled: 'circle-slash',
  interrupted: 'warning',
};

/** The jobs, newest first. */
export function jobRows(jobs: readonly Job[]): TreeRow[] {
  return [...jobs]
    .sort((a, b) => b.created.localeCompare(a.created))
    .map((job) => {
      const label = jobLabel(job);
      const description = jobDescription(job);
      const output = outputOf(job.spec);
      return {
        id: job.id,
        label,
        description,
        tooltip: [
          `${label}: ${description}`,
          ...(output === undefined ? [] : [`→ ${output}`]),
          ...(job.error === undefined || job.state === 'cancelled' ? [] : [job.error.message]),
        ].join('\n'),
        icon: jobIcons[job.state],
        context: `job.${jobContext(job)}`,
        folder: job.folder,
        spoken: `${label}, ${description}`,
      };
    });
}

/** `Distill tiny-llama`. */
function jobLabel({ spec }: Job): string {
  if (spec.kind === 'quantize') return `Quantize ${basename(spec.model)}`;
  return `${spec.kind === 'distill' ? 'Distill' : 'Compare with'} ${basename(spec.teacher)}`;
}

function jobDescription(job: Job): string {
  if (job.state !== 'running' && job.state !== 'queued') return job.state;
  const percent = jobPercent(job);
  return `${percent === undefined ? '' : `${percent}%, `}${jobProgressLine(job)}`;
}

function jobContext(job: Job): string {
  if (job.state === 'running' || job.state === 'queued') return 'active';
  if (canResume(job)) return 'stopped';
  return job.spec.kind === 'evaluate' && job.state === 'done' ? 'report' : 'ended';
}

/** `3.2 M`, `6.74 B`. */
function formatParameters(count: number): string {
  if (count < 1e6) return String(count);
  const [scaled, unit] = count < 1e9 ? [count / 1e6, 'M'] : [count / 1e9, 'B'];
  return `${Number(scaled.toPrecision(3))} ${unit}`;
}
