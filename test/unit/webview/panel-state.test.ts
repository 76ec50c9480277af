import { describe, expect, it } from 'vitest';
import type { Job, Metric } from '../../../server/protocol/job.ts';
import { curveSummary, lastValue, presentKinds, valueAt } from '../../../webview/runs/curves.ts';
import { curvesOf } from '../../../webview/runs/run-curves.ts';
import { jobStatusText, jobTitle } from '../../../webview/runs/job-text.ts';
import {
  appendMetrics,
  curveJob,
  initialState,
  orderJobs,
  reduce,
} from '../../../webview/page/panel-state.ts';

function metric(step: number, more: Partial<Metric> = {}): Metric {
  return {
    step,
    seconds: step,
    loss: 10 / step,
    learningRate: 1e-3,
    tokensPerSecond: 1,
    tokens: step,
    ...more,
  };
}

function job(id: string, more: Partial<Job> = {}): Job {
  return {
    id,
    spec: { kind: 'quantize', model: '/m/llama', output: '/m/out' },
    state: 'done',
    created: '2026-01-01T00:00:00.000Z',
    folder: `/jobs/${id}`,
    ...more,
  };
}

describe('the state of the panel', () => {
  it('takes over a snapshot whole and remembers that it came', () => {
    const state = reduce(
      { ...initialState, layersError: 'old' },
      { type: 'snapshot', snapshot: { connection: 'connected', models: [], jobs: [job('a')], metrics: {} } },
    );
    expect(state).toMatchObject({ received: true, connection: 'connected' });
    expect(state.layersError).toBeUndefined();
  });

  it('replaces a job it knows and adds one that is new', () => {
    let state = reduce(initialState, {
      type: 'job',
      job: job('a', { state: 'running' }),
      metrics: [metric(1)],
    });
    state = reduce(state, { type: 'job', job: job('b'), metrics: [] });
    state = reduce(state, { type: 'job', job: job('a', { state: 'done' }), metrics: [metric(2)] });
    expect(state.jobs.map(({ id, state: s }) => [id, s])).toEqual([
      ['a', 'done'],
      ['b', 'done'],
    ]);
    expect(state.metrics.a?.map(({ step }) => step)).toEqual([1, 2]);
    expect(state.metrics.b).toBeUndefined();
  });

  it('lets the later measurement of a step stand when a run goes back to a checkpoint', () => {
    const before = [metric(1), metric(2), metric(3)];
    const after = appendMetrics(before, [metric(2, { loss: 99 })]);
    expect(after.map(({ step, loss }) => [step, loss])).toEqual([
      [1, 10],
      [2, 99],
    ]);
    expect(appendMetrics(before, [])).toBe(before);
  });

  it('an inspection ends the error before it, its result ends the inspection', () => {
    let state = reduce(
      { ...initialState, layersError: 'no' },
      { type: 'inspecting', inspecting: { id: 'i', model: 'm' } },
    );
    expect(state.layersError).toBeUndefined();
    state = reduce(state, {
      type: 'layers',
      layers: { model: 'm', layers: [], recurringOutliers: [], cached: false },
    });
    expect([state.inspecting, state.layers?.model]).toEqual([undefined, 'm']);
  });
});

describe('jobs', () => {
  const jobs = [
    job('old', { created: '2026-01-01T00:00:00.000Z' }),
    job('new', { created: '2026-01-02T00:00:00.000Z' }),
    job('queued', { state: 'queued' }),
    job('running', { state: 'running' }),
  ];

  it('are listed running first, then waiting, then newest first', () => {
    expect(orderJobs(jobs).map(({ id }) => id)).toEqual(['running', 'queued', 'new', 'old']);
  });

  it('the curve is that of the chosen one if it has measurements, otherwise of the first that has', () => {
    const state = { ...initialState, jobs, metrics: { old: [metric(1)], new: [metric(1)] } };
    expect(curveJob(state, 'old')?.id).toBe('old');
    expect(curveJob(state, 'running')?.id).toBe('new');
    expect(curveJob({ ...state, metrics: {} }, 'old')).toBeUndefined();
  });

  it('say what they do and how they ended', () => {
    const running = job('a', {
      state: 'running',
      progress: { phase: 'distill', done: 320, total: 1000, unit: 'steps', remainingSeconds: 200 },
    });
    expect(jobTitle(running)).toBe('Quantize llama');
    expect(jobStatusText(running)).toBe('Distill · 320 of 1,000 steps · 3 min 20 s left');
    expect(
      jobStatusText(job('a', { started: '2026-01-01T00:00:00.000Z', ended: '2026-01-01T00:04:12.000Z' })),
    ).toBe('Took 4 min 12 s');
    expect(jobStatusText(job('a', { state: 'cancelled' }))).toBe('Cancelled before it began');
  });
});

describe('curves', () => {
  it('have only what was measured; gaps and NaN are gaps', () => {
    const data = curvesOf([metric(1, { perplexity: 100 }), metric(2, { loss: NaN }), metric(3)]);
    expect(presentKinds(data).map(({ name }) => name)).toEqual([
      ...['loss', 'perplexity', 'learningRate', 'tokensPerSecond'],
    ]);
    expect([0, 1, 2].map((i) => valueAt(data, 'loss', i)?.value)).toEqual([
      10,
      undefined,
      Math.fround(10 / 3),
    ]);
    expect(lastValue(data, 'perplexity')).toEqual({ step: 1, value: 100 });
  });

  it('are told in words', () => {
    expect(curveSummary(curvesOf([metric(1, { perplexity: 5000 }), metric(4, { perplexity: 12 })]))).toBe(
      'Loss 10.00 at step 1, 2.500 at step 4. Held-out perplexity 5,000 at step 1, 12.00 at step 4.',
    );
    expect(curveSummary(curvesOf([]))).toBe('No measurements yet.');
  });
});
