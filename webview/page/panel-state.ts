import type { Job, Metric } from '../../server/protocol/job.ts';
import type { MemoryPlan } from '../../server/protocol/memory.ts';
import { withReading } from '../../server/protocol/memory-readings.ts';
import { appendCurves, curvesOf, decodeCurves, noPoints, type RunCurves } from '../runs/run-curves.ts';
import type { PanelSnapshot, ToPanel } from '../../server/protocol/panel.ts';

export interface PanelState extends PanelSnapshot {
  /** False until the first snapshot. */
  received: boolean;
  /** Runs that the page has all points of. */
  curves?: Record<string, RunCurves>;
  /** The last answer to `planMemory`. */
  plan?: { plan?: MemoryPlan; error?: string };
  /** The checkpoint that was chosen to compare a model with: another object for every choice. */
  otherChosen?: { model: string; path: string };
}

export const initialState: PanelState = {
  received: false,
  connection: 'starting',
  models: [],
  jobs: [],
  metrics: {},
};

/** The state after a message. Parts that the message does not touch stay the same objects. */
export function reduce(state: PanelState, message: ToPanel): PanelState {
  switch (message.type) {
    case 'snapshot':
      return { received: true, ...message.snapshot };
    case 'connection':
      return { ...state, connection: message.connection, connectionError: message.error };
    case 'memory':
      return {
        ...state,
        memory: message.memory,
        readings: withReading(state.readings ?? [], message.memory, Date.now()),
      };
    case 'plan':
      return { ...state, plan: { plan: message.plan, error: message.error } };
    case 'models':
      return { ...state, models: message.models };
    case 'job': {
      const at = state.jobs.findIndex((job) => job.id === message.job.id);
      const metrics =
        message.metrics.length === 0
          ? state.metrics
          : {
              ...state.metrics,
              [message.job.id]: appendMetrics(state.metrics[message.job.id] ?? [], message.metrics),
            };
      const known = state.curves?.[message.job.id];
      const curves =
        known === undefined || message.metrics.length === 0
          ? state.curves
          : { ...state.curves, [message.job.id]: appendCurves(known, curvesOf(message.metrics)) };
      return {
        ...state,
        curves,
        jobs: at < 0 ? [...state.jobs, message.job] : state.jobs.with(at, message.job),
        metrics,
      };
    }
    case 'curves': {
      const before = message.from === 0 ? noPoints : (state.curves?.[message.id] ?? noPoints);
      const curves = { ...state.curves, [message.id]: appendCurves(before, decodeCurves(message.curves)) };
      return { ...state, curves };
    }
    case 'inspecting':
      return { ...state, inspecting: message.inspecting, layersError: undefined };
    case 'layers':
      return { ...state, layers: message.layers, layersError: undefined, inspecting: undefined };
    case 'layersError':
      return { ...state, layersError: message.message, inspecting: undefined };
    case 'otherChosen':
      return { ...state, otherChosen: { model: message.model, path: message.path } };
    // Who asked hears of it (layers/asks.ts).
    case 'askProgress':
    case 'answer':
    case 'answerError':
    case 'showLayers':
      return state;
  }
}

/** A run that went back to a checkpoint repeats steps: the later measurement of a step stands. */
export function appendMetrics(old: Metric[], fresh: Metric[]): Metric[] {
  const first = fresh[0];
  if (first === undefined) return old;
  let kept = old.length;
  while (kept > 0 && (old[kept - 1]?.step ?? -1) >= first.step) kept--;
  return [...(kept === old.length ? old : old.slice(0, kept)), ...fresh];
}

export function isActive(job: Job): boolean {
  return job.state === 'queued' || job.state === 'running';
}

/** Running first, then waiting, then the rest, newest first. */
export function orderJobs(jobs: Job[]): Job[] {
  const rank = (job: Job) => (job.state === 'running' ? 0 : job.state === 'queued' ? 1 : 2);
  return [...jobs].sort(
    (a, b) => rank(a) - rank(b) || b.created.localeCompare(a.created) || a.id.localeCompare(b.id),
  );
}

/** The job whose curve is shown: the chosen one, otherwise the first in the list that has measurements. */
export function curveJob(state: PanelState, chosen: string | undefined): Job | undefined {
  const measured = orderJobs(state.jobs).filter((job) => (state.metrics[job.id]?.length ?? 0) > 0);
  return measured.find((job) => job.id === chosen) ?? measured[0];
}
