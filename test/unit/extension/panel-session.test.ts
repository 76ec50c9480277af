import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Ending, LinkState, PanelLink } from '../../../extension/panel/panel-link.ts';
import { type PanelActions, PanelSession } from '../../../extension/panel/panel-session.ts';
import { thinMetrics } from '../../../extension/panel/thin-metrics.ts';
import { OneBitError } from '../../../server/protocol/error.ts';
import type { Job, Metric } from '../../../server/protocol/job.ts';
import type { Notifications, Requests, ServerMemory, Topic } from '../../../server/protocol/methods.ts';
import type { ToPanel } from '../../../server/protocol/panel.ts';

const memory: ServerMemory = {
  process: { rssBytes: 1, heapBytes: 1, uptimeSeconds: 1 },
  model: { state: 'none', active: 0, queued: 0 },
};

function metric(step: number, more: Partial<Metric> = {}): Metric {
  return { step, seconds: step, loss: 1, learningRate: 1, tokensPerSecond: 1, tokens: 1, ...more };
}

const distilling: Job = {
  id: 'd',
  spec: { kind: 'distill', teacher: '/t', data: ['/d'], output: '/o' },
  state: 'running',
  created: '2026-01-01T00:00:00.000Z',
  started: '2026-01-01T00:00:01.000Z',
  folder: '/o/job',
};

/** A connection whose answers the test writes. */
class ScriptedLink implements PanelLink {
  state: LinkState = { state: 'connected' };
  readonly asked: string[] = [];
  readonly topics = new Map<Topic, number>();
  readonly answers: {
    [M in keyof Requests]?: (params: Requests[M]['params'], signal?: AbortSignal) => unknown;
  } = {
    'memory/read': () => memory,
    'model/list': () => [],
    'job/list': () => [distilling],
    'job/metrics': () => ({ job: distilling, metrics: [metric(1), metric(2)] }),
  };
  private readonly stateListeners = new Set<(state: LinkState) => void>();
  private readonly listeners = new Map<string, Set<(params: never) => void>>();

  onDidChangeState(listener: (state: LinkState) => void): Ending {
    this.stateListeners.add(listener);
    return { dispose: () => this.stateListeners.delete(listener) };
  }
  connect(options?: { asked?: boolean }): Promise<void> {
    this.asked.push(options?.asked === false ? 'connect unasked' : 'connect');
    return Promise.resolve();
  }
  async request<M extends keyof Requests>(
    method: M,
    params: Requests[M]['params'],
    signal?: AbortSignal,
  ): Promise<Requests[M]['result']> {
    this.asked.push(method);
    return (await this.answers[method]?.(params, signal)) as Requests[M]['result'];
  }
  onNotification<N extends keyof Notifications>(
    method: N,
    listener: (params: Notifications[N]) => void,
  ): Ending {
    const set = this.listeners.get(method) ?? new Set();
    this.listeners.set(method, set.add(listener));
    return { dispose: () => set.delete(listener) };
  }
  subscribe(topics: Topic[]): Ending {
    for (const topic of topics) this.topics.set(topic, (this.topics.get(topic) ?? 0) + 1);
    return {
      dispose: () => topics.forEach((topic) => this.topics.set(topic, (this.topics.get(topic) ?? 0) - 1)),
    };
  }

  notify<N extends keyof Notifications>(method: N, params: Notifications[N]): void {
    for (const listener of this.listeners.get(method) ?? []) listener(params as never);
  }
  become(state: LinkState): void {
    this.state = state;
    for (const listener of this.stateListeners) listener(state);
  }
  get wanted(): number {
    return [...this.topics.values()].reduce((sum, count) => sum + count, 0);
  }
}

function open(link = new ScriptedLink(), actions: Partial<PanelActions> = {}) {
  const posted: ToPanel[] = [];
  const errors: string[] = [];
  const session = new PanelSession(link, (message) => posted.push(message), {
    chooseModel() {},
    quantize() {},
    distill() {},
    evaluate() {},
    openReport() {},
    showLog() {},
    openFolder() {},
    save: () => Promise.resolve(),
    chooseTeacher: () => Promise.resolve(undefined),
    chooseJobFolder: () => Promise.resolve(false),
    chooseOther: () => Promise.resolve(undefined),
    showError: (message) => errors.push(message),
    ...actions,
  });
  return { link, posted, errors, session, types: () => posted.map(({ type }) => type) };
}

const settle = () => sleep(5);

describe('a panel that comes into view', () => {
  it('gets one snapshot of everything, with the metrics of training runs', async () => {
    const { session, posted } = open();
    session.receive({ type: 'ready' });
    await settle();
    expect(posted).toEqual([
      {
        type: 'snapshot',
        snapshot: {
          connection: 'connected',
          memory,
          models: [],
          jobs: [distilling],
          metrics: { d: [metric(1), metric(2)] },
          readings: [{ at: expect.any(Number) as number, ramBytes: 1, gpuBytes: 0 }],
          layers: undefined,
          layersError: undefined,
          inspecting: undefined,
        },
      },
    ]);
  });

  it('gets all points of a run, piece by piece', async () => {
    const link = new ScriptedLink();
    const piece = (next: number, complete: boolean) => ({
      points: 0,
      next,
      complete,
      axes: { step: '', seconds: '', tokens: '' },
      columns: {},
      measured: [],
    });
    link.answers['job/curves'] = ({ from }) => (from === 0 ? piece(9, false) : piece(12, true));
    const { session, posted } = open(link);
    session.receive({ type: 'ready' });
    await settle();
    session.receive({ type: 'curves', id: 'd' });
    await settle();
    expect(posted.slice(1)).toEqual([
      { type: 'curves', id: 'd', from: 0, curves: piece(9, false) },
      { type: 'curves', id: 'd', from: 9, curves: piece(12, true) },
    ]);
  });

  it('hands on what another context would take, or why that is not known', async () => {
    const link = new ScriptedLink();
    const plan = { contextLength: 64, maxPositions: 64, parts: [], nowBytes: 1, plannedBytes: 1 };
    link.answers['memory/plan'] = ({ contextLength }) => {
      if (contextLength !== 64) throw new OneBitError('no-model', 'No model is loaded.');
      return plan;
    };
    const { session, posted } = open(link);
    session.receive({ type: 'ready' });
    await settle();
    session.receive({ type: 'planMemory', params: { contextLength: 64 } });
    await settle();
    session.receive({ type: 'planMemory', params: {} });
    await settle();
    expect(posted.slice(1)).toEqual([
      { type: 'plan', plan },
      { type: 'plan', error: 'No model is loaded.' },
    ]);
  });

  it('hears after the snapshot what was notified while it was being read, without repeating steps', async () => {
    const link = new ScriptedLink();
    let answer = (_: unknown): void => {};
    link.answers['memory/read'] = () => new Promise((resolve) => (answer = resolve));
    const { session, posted, types } = open(link);
    session.receive({ type: 'ready' });
    await settle();
    link.notify('job/progress', { job: distilling, metrics: [metric(2), metric(3)] });
    await sleep(250);
    expect(types()).toEqual([]);
    answer(memory);
    await sleep(250);
    expect(types()).toEqual(['snapshot', 'job']);
    expect(posted[1]).toMatchObject({ type: 'job', metrics: [{ step: 3 }] });
  });

  it('starts the server unasked only when it is stopped', async () => {
    const link = new ScriptedLink();
    link.state = { state: 'stopped' };
    const { session, posted } = open(link);
    session.receive({ type: 'ready' });
    await settle();
    expect(link.asked).toEqual(['connect unasked']);
    expect(posted).toMatchObject([{ type: 'snapshot', snapshot: { connection: 'stopped' } }]);
    link.become({ state: 'connected' });
    await settle();
    expect(posted.at(-1)).toMatchObject({ type: 'snapshot', snapshot: { connection: 'connected' } });
  });

  it('is told why the connection failed', async () => {
    const { session, link, posted } = open();
    session.receive({ type: 'ready' });
    await settle();
    link.become({ state: 'failed', error: 'port taken' });
    expect(posted.at(-1)).toEqual({ type: 'connection', connection: 'failed', error: 'port taken' });
  });
});

describe('a hidden panel', () => {
  it('listens to nothing, asks for nothing and posts nothing', async () => {
    const { session, link, posted } = open();
    session.receive({ type: 'ready' });
    await settle();
    expect(link.wanted).toBe(3);
    session.hide();
    expect(link.wanted).toBe(0);
    const [postedBefore, askedBefore] = [posted.length, link.asked.length];
    link.notify('memory/changed', memory);
    link.notify('job/progress', { job: { ...distilling, state: 'done' }, metrics: [metric(3)] });
    link.become({ state: 'stopped' });
    link.become({ state: 'connected' });
    await sleep(250);
    expect([posted.length, link.asked.length]).toEqual([postedBefore, askedBefore]);
  });

  it('drops a snapshot that was on its way', async () => {
    const { session, posted } = open();
    session.receive({ type: 'ready' });
    session.hide();
    await settle();
    expect(posted).toEqual([]);
  });

  it('still has the layers when it comes back', async () => {
    const link = new ScriptedLink();
    const layers = { model: 'm', layers: [] };
    link.answers['inspect/layers'] = () => layers;
    const { session, posted } = open(link);
    session.receive({ type: 'ready' });
    session.receive({ type: 'inspect', model: 'm' });
    session.hide();
    await settle();
    expect(posted.map(({ type }) => type)).toEqual(['inspecting']);
    session.receive({ type: 'ready' });
    await settle();
    expect(posted.at(-1)).toMatchObject({ type: 'snapshot', snapshot: { layers } });
    expect(link.asked.filter((method) => method === 'inspect/layers')).toHaveLength(1);
  });
});

describe('a running job', () => {
  it('that reports often is posted seldom, and no step is lost', async () => {
    const { session, link, posted } = open();
    session.receive({ type: 'ready' });
    await settle();
    posted.length = 0;
    for (let step = 3; step <= 60; step++) {
      link.notify('job/progress', { job: distilling, metrics: [metric(step)] });
    }
    await sleep(250);
    expect(posted).toHaveLength(1);
    const steps = posted
      .flatMap((message) => (message.type === 'job' ? message.metrics : []))
      .map((m) => m.step);
    expect(steps).toEqual(Array.from({ length: 58 }, (_, i) => i + 3));
  });

  it('that ends is posted at once, and the models are read again', async () => {
    const { session, link, posted, types } = open();
    session.receive({ type: 'ready' });
    await settle();
    posted.length = 0;
    link.notify('job/progress', { job: { ...distilling, state: 'done' }, metrics: [] });
    expect(types()).toEqual(['job']);
    await settle();
    expect(types()).toEqual(['job', 'models']);
  });

  it('that went back to a checkpoint repeats its steps', async () => {
    const { session, link, posted } = open();
    session.receive({ type: 'ready' });
    await settle();
    const resumed = { ...distilling, started: '2026-01-01T01:00:00.000Z' };
    link.notify('job/progress', { job: resumed, metrics: [metric(2, { loss: 7 })] });
    await sleep(250);
    expect(posted.at(-1)).toMatchObject({ type: 'job', metrics: [{ step: 2, loss: 7 }] });
  });
});

describe('inspecting layers', () => {
  it('shows progress, then the result', async () => {
    const link = new ScriptedLink();
    const progress = { phase: 'inspect', done: 1, total: 2, unit: 'tensors' } as const;
    let id = '';
    link.answers['inspect/layers'] = async (params) => {
      ({ id } = params);
      link.notify('inspect/progress', { id: 'given up', progress: { ...progress, done: 2 } });
      link.notify('inspect/progress', { id, progress });
      await sleep(1);
      return { model: 'm', teacher: 't', layers: [] };
    };
    const { session, posted } = open(link);
    session.receive({ type: 'ready' });
    await settle();
    session.receive({ type: 'inspect', model: 'm', teacher: 't' });
    await settle();
    expect(posted.slice(1)).toEqual([
      { type: 'inspecting', inspecting: { id, model: 'm', teacher: 't' } },
      { type: 'inspecting', inspecting: { id, model: 'm', teacher: 't', progress } },
      { type: 'layers', layers: { model: 'm', teacher: 't', layers: [] } },
    ]);
  });

  it('tells the error of the server', async () => {
    const link = new ScriptedLink();
    link.answers['inspect/layers'] = () => {
      throw new OneBitError('bad-file', 'model.safetensors is truncated.');
    };
    const { session, posted } = open(link);
    session.receive({ type: 'ready' });
    session.receive({ type: 'inspect', model: 'm' });
    await settle();
    expect(posted.at(-1)).toMatchObject({
      type: 'snapshot',
      snapshot: { layersError: 'model.safetensors is truncated.' },
    });
  });

  it('can be cancelled, which brings the table from before back', async () => {
    const link = new ScriptedLink();
    const before = { model: 'm', layers: [] };
    link.answers['inspect/layers'] = (_, signal) =>
      signal === undefined || link.asked.filter((m) => m === 'inspect/layers').length === 1
        ? before
        : new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(new OneBitError('cancelled', 'Cancelled.'))),
          );
    const { session, posted } = open(link);
    session.receive({ type: 'ready' });
    session.receive({ type: 'inspect', model: 'm' });
    await settle();
    session.receive({ type: 'inspect', model: 'other' });
    session.receive({ type: 'cancelInspect' });
    await settle();
    expect(posted.at(-1)).toEqual({ type: 'layers', layers: before });
  });
});

describe('buttons', () => {
  it('become requests; an error is shown, a cancellation is not', async () => {
    const link = new ScriptedLink();
    link.answers['model/load'] = () => {
      throw new OneBitError('no-tokenizer', 'No tokenizer.json in /m.');
    };
    link.answers['job/cancel'] = () => {
      throw new OneBitError('cancelled', 'Cancelled.');
    };
    const { session, errors } = open(link);
    session.receive({ type: 'loadModel', model: '/m' });
    session.receive({ type: 'cancelJob', id: 'd' });
    await settle();
    expect(link.asked).toEqual(['model/load', 'job/cancel']);
    expect(errors).toEqual(['No tokenizer.json in /m.']);
  });

  it('open folder and report of a job that the panel was told of, and of no other', async () => {
    const opened: string[] = [];
    const { session } = open(new ScriptedLink(), {
      openFolder: (folder) => opened.push(folder),
      openReport: (folder) => opened.push(`report of ${folder}`),
    });
    session.receive({ type: 'ready' });
    await settle();
    session.receive({ type: 'openJobFolder', id: 'd' });
    session.receive({ type: 'openJobFolder', id: '../../etc' });
    session.receive({ type: 'openReport', id: 'd' });
    session.receive({ type: 'openReport', id: '../../etc' });
    expect(opened).toEqual(['/o/job', 'report of /o/job']);
  });
});

describe('thinning a long run', () => {
  it('keeps ends, measured perplexities and an even spread', () => {
    const long = Array.from({ length: 50_000 }, (_, i) =>
      metric(i, { perplexity: i % 9973 === 17 ? 1 : undefined }),
    );
    const thin = thinMetrics(long, 1000);
    expect(thin.length).toBeLessThanOrEqual(1010);
    expect([thin[0]?.step, thin.at(-1)?.step]).toEqual([0, 49_999]);
    expect(thin.filter((m) => m.perplexity !== undefined)).toHaveLength(6);
    const gaps = thin.slice(1).map((m, i) => m.step - (thin[i]?.step ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(51);
    expect(thinMetrics(long.slice(0, 10), 1000)).toHaveLength(10);
  });
});
