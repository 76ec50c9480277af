import { randomUUID } from 'node:crypto';
import { asOneBitError } from '../../server/protocol/error.ts';
import type { InspectLayersResult } from '../../server/protocol/inspect.ts';
import type { Job, JobProgress, Metric } from '../../server/protocol/job.ts';
import type { MemoryPlanParams } from '../../server/protocol/memory.ts';
import { withReading, type MemoryReading } from '../../server/protocol/memory-readings.ts';
import type { ServerMemory } from '../../server/protocol/methods.ts';
import type { ModelStatus } from '../../server/protocol/model.ts';
import type { FromPanel, Inspecting, PanelSnapshot, ToPanel } from '../../server/protocol/panel.ts';
import { startAgain } from '../commands/start-again.ts';
import { LayersAsks } from './layers-asks.ts';
import type { Ending, PanelLink } from './panel-link.ts';
import { thinMetrics } from './thin-metrics.ts';

/** What the panel's buttons do in the window. */
export interface PanelActions {
  chooseModel(): void;
  quantize(): void;
  distill(): void;
  evaluate(): void;
  /** @param folder of the job */
  openReport(folder: string): void;
  showLog(): void;
  openFolder(folder: string): void;
  /** Asks for the folder of a full-precision checkpoint; undefined when the user gave up. */
  chooseTeacher(): Promise<string | undefined>;
  /** Asks for the folder of a 1-bit checkpoint; undefined when the user gave up. */
  chooseOther(): Promise<string | undefined>;
  /** Says why a job was refused and opens the folder that its user picks; false when the user gave up. */
  chooseJobFolder(this: void, refusal: string): Promise<boolean>;
  /** Asks where to and writes it. @param file its content in base64 */
  save(file: { name: string; content: string }): Promise<void>;
  showError(message: string): void;
}

/** A training run may report many times a second: the panel hears of it this often. */
const jobInterval = 200;

/**
 * Turns what the server says into messages for the panel, and the panel's buttons into requests.
 * Between `hide` and the next `show` it listens to nothing and posts nothing; what it knows of the
 * layers stays, so that they need not be read again.
 */
export class PanelSession {
  private readonly watchesState: Ending;
  private listening: Ending[] = [];
  private visible = false;
  /** Counts the snapshots asked for: an answer to an older one is dropped. */
  private round = 0;
  /** What came in while a snapshot was on its way; undefined when none is. */
  private held: (() => void)[] | undefined;
  /** Last step that the panel has, by job. */
  private readonly lastStep = new Map<string, number>();
  private readonly pendingJobs = new Map<string, { job: Job; metrics: Metric[] }>();
  private jobTimer: NodeJS.Timeout | undefined;
  private memory: ServerMemory | undefined;
  private readings: MemoryReading[] = [];
  /** Counts the plans asked for. */
  private plans = 0;
  private jobs = new Map<string, Job>();

  private layers: InspectLayersResult | undefined;
  private layersError: string | undefined;
  private inspecting: Inspecting | undefined;
  private inspection: AbortController | undefined;
  private readonly asks: LayersAsks;
  private revealsLayers = false;

  constructor(
    private readonly link: PanelLink,
    private readonly post: (message: ToPanel) => void,
    private readonly actions: PanelActions,
  ) {
    this.asks = new LayersAsks(link, post);
    this.watchesState = link.onDidChangeState(() => this.stateChanged());
  }

  /** A message from the webview. */
  receive(message: FromPanel): void {
    switch (message.type) {
      case 'ready':
        return this.show();
      case 'ask':
      case 'cancelAsk':
        return this.asks.receive(message);
      case 'startServer':
        // Why it failed is in the link's state, which the panel shows.
        this.link.connect().catch(() => undefined);
        return;
      case 'showLog':
        return this.actions.showLog();
      case 'chooseModel':
        return this.actions.chooseModel();
      case 'quantize':
        return this.actions.quantize();
      case 'distill':
        return this.actions.distill();
      case 'evaluate':
        return this.actions.evaluate();
      case 'unloadModel':
        return this.run(this.link.request('model/unload', {}));
      case 'loadModel':
        return this.run(this.link.request('model/load', { model: message.model }));
      case 'planMemory':
        void this.plan(message.params);
        return;
      case 'cancelJob':
        return this.run(this.link.request('job/cancel', { id: message.id }));
      case 'resumeJob': {
        const job = this.jobs.get(message.id);
        if (job === undefined) return;
        return this.run(
          startAgain(() => this.link.request('job/start', job.spec), this.actions.chooseJobFolder),
        );
      }
      case 'curves':
        return this.run(this.sendCurves(message.id));
      case 'exportJob':
        return this.run(
          this.link
            .request('job/export', { id: message.id, format: message.format })
            .then((file) => this.actions.save(file)),
        );
      case 'savePicture':
        return this.run(this.actions.save(message));
      case 'saveText': {
        const { name, content } = message;
        return this.run(this.actions.save({ name, content: Buffer.from(content).toString('base64') }));
      }
      case 'openJobFolder': {
        const job = this.jobs.get(message.id);
        if (job !== undefined) this.actions.openFolder(job.folder);
        return;
      }
      case 'openReport': {
        const job = this.jobs.get(message.id);
        if (job !== undefined) this.actions.openReport(job.folder);
        return;
      }
      case 'inspect':
        void this.inspect(message.model, message.teacher);
        return;
      case 'cancelInspect':
        this.inspection?.abort();
        return;
      case 'chooseOther':
        return this.run(
          this.actions.chooseOther().then((path) => {
            if (path !== undefined) this.post({ type: 'otherChosen', model: message.model, path });
          }),
        );
      case 'chooseTeacher':
        return this.run(
          this.actions.chooseTeacher().then((teacher) => {
            if (teacher !== undefined) void this.inspect(message.model, teacher);
          }),
        );
    }
  }

  /** Reads the layers of a model and brings them to the front, now or when the webview is there. */
  showLayers(model: string): void {
    this.revealsLayers = true;
    this.run(
      this.link.request('model/add', { model }).then((models) => {
        if (this.visible) this.post({ type: 'models', models });
        void this.inspect(model, undefined);
      }),
    );
    if (this.visible) this.reveal();
  }

  private reveal(): void {
    if (!this.revealsLayers) return;
    this.revealsLayers = false;
    this.post({ type: 'showLayers' });
  }

  /** The webview has come (back) and listens: it gets a fresh snapshot, then what changes. */
  show(): void {
    this.hide();
    this.visible = true;
    const { link } = this;
    this.listening = [
      link.onNotification('job/progress', (progress) => this.later(() => this.jobProgress(progress))),
      link.onNotification('memory/changed', (memory) => this.later(() => this.memoryChanged(memory))),
      link.onNotification('model/changed', (status) => this.later(() => this.modelChanged(status))),
      link.onNotification('inspect/progress', ({ id, progress }) => {
        // One that was given up may still report.
        if (this.inspecting?.id !== id) return;
        this.inspecting = { ...this.inspecting, progress };
        this.post({ type: 'inspecting', inspecting: this.inspecting });
      }),
      link.subscribe(['jobs', 'memory', 'model']),
    ];
    if (link.state.state === 'stopped') link.connect({ asked: false }).catch(() => undefined);
    void this.sendSnapshot();
    this.reveal();
  }

  /** The webview is gone or hidden. */
  hide(): void {
    this.visible = false;
    this.round++;
    this.held = undefined;
    for (const ending of this.listening) ending.dispose();
    this.listening = [];
    this.asks.hide();
    this.pendingJobs.clear();
    clearTimeout(this.jobTimer);
    this.jobTimer = undefined;
  }

  dispose(): void {
    this.hide();
    this.watchesState.dispose();
    this.inspection?.abort();
  }

  private stateChanged(): void {
    if (!this.visible) return;
    const { state, error } = this.link.state;
    if (state === 'connected') void this.sendSnapshot();
    else {
      this.round++;
      this.held = undefined;
      this.post({ type: 'connection', connection: state, error });
    }
  }

  /** Reads everything anew and posts it. What is notified meanwhile follows the snapshot. */
  private async sendSnapshot(): Promise<void> {
    const round = ++this.round;
    this.held = [];
    const snapshot = await this.readSnapshot();
    // Hidden, disconnected or asked again in the meantime.
    if (round !== this.round) return;
    this.memory = snapshot.memory;
    if (snapshot.memory !== undefined) this.note(snapshot.memory);
    this.jobs = new Map(snapshot.jobs.map((job) => [job.id, job]));
    this.lastStep.clear();
    for (const [id, metrics] of Object.entries(snapshot.metrics)) this.noteSteps(id, metrics);
    this.pendingJobs.clear();
    this.post({
      type: 'snapshot',
      // The layers as they are now, not as they were when the reading began.
      snapshot: { ...snapshot, readings: this.readings, ...this.layersPart() },
    });
    const held = this.held ?? [];
    this.held = undefined;
    for (const one of held) one();
  }

  private layersPart(): Pick<PanelSnapshot, 'layers' | 'layersError' | 'inspecting'> {
    return { layers: this.layers, layersError: this.layersError, inspecting: this.inspecting };
  }

  private async readSnapshot(): Promise<PanelSnapshot> {
    const { state, error } = this.link.state;
    const nothing = { models: [], jobs: [], metrics: {} };
    if (state !== 'connected') return { connection: state, connectionError: error, ...nothing };
    try {
      const [memory, models, jobs] = await Promise.all([
        this.link.request('memory/read', {}),
        this.link.request('model/list', {}),
        this.link.request('job/list', {}),
      ]);
      const metrics: PanelSnapshot['metrics'] = {};
      await Promise.all(
        jobs.map(async (job) => {
          if (job.spec.kind !== 'distill') return;
          const lines = (await this.link.request('job/metrics', { id: job.id })).metrics;
          if (lines.length > 0) metrics[job.id] = thinMetrics(lines);
        }),
      );
      return { connection: 'connected', memory, models, jobs, metrics };
    } catch (caught) {
      const now = this.link.state;
      if (now.state !== 'connected') return { connection: now.state, connectionError: now.error, ...nothing };
      return { connection: 'failed', connectionError: asOneBitError(caught).message, ...nothing };
    }
  }

  /** Now, or after the snapshot that is on its way. */
  private later(action: () => void): void {
    if (this.held !== undefined) this.held.push(action);
    else action();
  }

  private jobProgress({ job, metrics }: JobProgress): void {
    const before = this.jobs.get(job.id);
    this.jobs.set(job.id, job);
    const pending = this.pendingJobs.get(job.id);
    // A notification that crossed the snapshot may repeat steps that the snapshot has already. A run
    // that went back to a checkpoint also does, but that is another process: it has started anew.
    const resumed = before !== undefined && before.started !== job.started;
    const last = resumed ? undefined : this.lastStep.get(job.id);
    const fresh = last === undefined ? metrics : metrics.filter((metric) => metric.step > last);
    this.noteSteps(job.id, fresh);
    this.pendingJobs.set(job.id, { job, metrics: [...(pending?.metrics ?? []), ...fresh] });
    if (before?.state !== job.state) {
      this.sendJobs();
      // A job that ended may have left a new model.
      if (job.state === 'done') void this.sendModels();
    } else {
      this.jobTimer ??= setTimeout(() => this.sendJobs(), jobInterval);
    }
  }

  /** All points of a run, piece by piece; ends when the panel is hidden or reads everything anew. */
  private async sendCurves(id: string): Promise<void> {
    const { round } = this;
    for (let from = 0; ;) {
      const curves = await this.link.request('job/curves', { id, from });
      if (round !== this.round) return;
      this.post({ type: 'curves', id, from, curves });
      if (curves.complete || curves.next === from) return;
      from = curves.next;
    }
  }

  private noteSteps(id: string, metrics: Metric[]): void {
    const last = metrics.at(-1);
    if (last !== undefined) this.lastStep.set(id, last.step);
  }

  private sendJobs(): void {
    clearTimeout(this.jobTimer);
    this.jobTimer = undefined;
    for (const { job, metrics } of this.pendingJobs.values()) this.post({ type: 'job', job, metrics });
    this.pendingJobs.clear();
  }

  private memoryChanged(memory: ServerMemory): void {
    this.memory = memory;
    this.note(memory);
    this.post({ type: 'memory', memory });
  }

  private note(memory: ServerMemory): void {
    this.readings = withReading(this.readings, memory, Date.now());
  }

  private async plan(params: MemoryPlanParams): Promise<void> {
    const { round } = this;
    const asked = ++this.plans;
    const answer = await this.link.request('memory/plan', params).then(
      (plan) => ({ plan }),
      (caught: unknown) => ({ error: asOneBitError(caught).message }),
    );
    // Hidden in the meantime, or asked something else.
    if (round === this.round && asked === this.plans) this.post({ type: 'plan', ...answer });
  }

  private modelChanged(model: ModelStatus): void {
    const other = this.memory?.model.model?.id !== model.model?.id;
    if (this.memory !== undefined) this.memoryChanged({ ...this.memory, model });
    if (other) void this.sendModels();
  }

  private async sendModels(): Promise<void> {
    const { round } = this;
    try {
      const models = await this.link.request('model/list', {});
      if (round === this.round) this.post({ type: 'models', models });
    } catch {
      // The connection ended: the next snapshot brings them.
    }
  }

  private async inspect(model: string, teacher: string | undefined): Promise<void> {
    this.inspection?.abort();
    const inspection = new AbortController();
    this.inspection = inspection;
    const id = randomUUID();
    this.inspecting = { id, model, teacher };
    this.layersError = undefined;
    if (this.visible) this.post({ type: 'inspecting', inspecting: this.inspecting });
    let result: InspectLayersResult | undefined;
    let failure: string | undefined;
    try {
      result = await this.link.request('inspect/layers', { id, model, teacher }, inspection.signal);
    } catch (caught) {
      const error = asOneBitError(caught);
      failure = error.code === 'cancelled' ? 'Cancelled.' : error.message;
    }
    // Another inspection took over.
    if (this.inspection !== inspection) return;
    this.inspection = undefined;
    this.inspecting = undefined;
    if (result !== undefined) this.layers = result;
    // Cancelled with a table from before: that one comes back.
    else if (!inspection.signal.aborted || this.layers === undefined) this.layersError = failure;
    if (!this.visible) return;
    if (this.layersError !== undefined) this.post({ type: 'layersError', message: this.layersError });
    else if (this.layers !== undefined) this.post({ type: 'layers', layers: this.layers });
  }

  private run(work: Promise<unknown>): void {
    work.catch((caught: unknown) => {
      const error = asOneBitError(caught);
      if (error.code !== 'cancelled') this.actions.showError(error.message);
    });
  }
}
