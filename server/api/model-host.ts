import type { EngineOptions } from '../engine/engine.ts';
import type { LanguageModel } from '../engine/language-model.ts';
import type { OpenControl } from '../engine/open-engine.ts';
import { defaultSequences } from '../engine/open-language-model.ts';
import type { Device } from '../protocol/device.ts';
import { OneBitError, asOneBitError, throwIfCancelled } from '../protocol/error.ts';
import { planMemory } from '../engine/memory-plan.ts';
import type { MemoryPlan, MemoryPlanParams, MemoryReport } from '../protocol/memory.ts';
import type { ModelLoadParams, ModelStatus, ModelSummary } from '../protocol/model.ts';

export type OpenModel = (
  path: string,
  options: EngineOptions,
  control: OpenControl,
) => Promise<LanguageModel>;

export interface ModelHostOptions {
  open: OpenModel;
  /** Reads what a folder, or a shipped model's name, holds. Throws for what is no model. */
  describe(model: string): Promise<ModelSummary>;
  /** Loaded at the first completion if none was asked for by then. */
  defaultModel: string | undefined;
  /** Milliseconds without a completion after which the weights are given back; 0 = never. */
  idleMs: number;
  engine: EngineOptions;
  /** A model is in memory now. */
  onLoaded(summary: ModelSummary, device: MemoryReport['device']): void;
  warn(message: string): void;
}

/** Completions that may wait for a model to be loaded; beyond them the server is busy. */
const waitingLimit = 64;

interface Target {
  summary: ModelSummary;
  contextLength: number | undefined;
  device: Device | undefined;
}

interface Loading {
  target: Target;
  controller: AbortController;
  progress: number;
}

/**
 * Owns the one model that is in memory: loads it when first needed, gives its memory back when idle,
 * and comes back on demand. Completions that run keep their model: a change waits for them to end,
 * and those that come meanwhile wait for the change.
 */
export class ModelHost {
  private target: Target | undefined;
  private model: LanguageModel | undefined;
  private loading: Loading | undefined;
  private failure: OneBitError | undefined;
  /** Changes (load, unload) one after another. */
  private changes: Promise<unknown> = Promise.resolve();
  private changing = 0;
  private users = 0;
  private waiting = 0;
  private idle: NodeJS.Timeout | undefined;
  private drained: (() => void)[] = [];
  private disposed = false;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly options: ModelHostOptions) {}

  /** Completions running and waiting. */
  get busy(): number {
    return this.users + this.waiting;
  }

  status(): ModelStatus {
    const { model, loading } = this;
    const active = model?.active ?? 0;
    // Those that the model does not know of yet (they wait for it) are queued as well.
    const queued = Math.max(0, this.busy - active);
    const summary = loading?.target.summary ?? this.target?.summary;
    if (loading !== undefined) {
      return { state: 'loading', model: summary, progress: loading.progress, active, queued };
    }
    if (model !== undefined)
      return { state: 'ready', model: summary, memory: model.memory(), active, queued };
    if (this.failure !== undefined) {
      return { state: 'failed', model: summary, error: this.failure.message, active, queued };
    }
    return { state: summary === undefined ? 'none' : 'unloaded', model: summary, active, queued };
  }

  /**
   * The model that completions would use, whether it is in memory or not.
   * @returns its context length where that is decided already, and how many completions run at once
   * @throws no-model, what describing a model throws
   */
  async chosen(): Promise<{ summary: ModelSummary; contextLength: number | undefined; sequences: number }> {
    const { target } = this;
    const { defaultModel, engine } = this.options;
    if (target === undefined && defaultModel === undefined) throw noModel();
    const summary = target?.summary ?? (await this.options.describe(defaultModel ?? ''));
    return {
      summary,
      contextLength: this.model?.contextLength ?? target?.contextLength ?? engine.contextLength,
      sequences: engine.sequences ?? defaultSequences,
    };
  }

  /**
   * What the model in memory would take with another context or lm_head.
   * @throws no-model, what planMemory throws
   */
  plan(params: MemoryPlanParams): MemoryPlan {
    const { model } = this;
    if (model === undefined) throw new OneBitError('no-model', 'No model is in memory: load one first.');
    const sequences = this.options.engine.sequences ?? defaultSequences;
    return planMemory({ config: model.config, report: model.memory(), sequences }, params);
  }

  /** Calls the listener whenever `status` has changed; it may be called often. */
  onChange(listener: () => void): { dispose(): void } {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  /**
   * Loads a model and makes it the one that completions use. If that fails, the model that was
   * used before stays chosen and comes back on demand.
   * @throws gpu-missing or out-of-memory for a GPU that was asked for, what opening a model throws, cancelled
   */
  async load(params: ModelLoadParams, signal?: AbortSignal): Promise<ModelStatus> {
    const summary = await this.options.describe(params.model);
    throwIfCancelled(signal);
    const target: Target = {
      summary,
      contextLength: params.contextLength,
      device: params.device,
    };
    await this.change(async () => {
      if (this.model !== undefined && sameTarget(this.target, target)) return;
      await this.open(target, signal);
    });
    return this.status();
  }

  /** Gives the model's memory back once the completions that run have ended. */
  async unload(): Promise<ModelStatus> {
    this.loading?.controller.abort();
    await this.change(() => this.close());
    return this.status();
  }

  /**
   * Runs `work` with the model, which is loaded first if need be and stays until `work` has ended.
   * @throws no-model (none chosen), busy (too many wait), what opening a model throws, cancelled, what `work` throws
   */
  async use<T>(
    work: (model: LanguageModel, summary: ModelSummary) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const { model, summary } = await this.take(signal);
    clearTimeout(this.idle);
    this.changed();
    try {
      return await work(model, summary);
    } finally {
      this.users--;
      if (this.users === 0) {
        for (const resume of this.drained.splice(0)) resume();
        this.startIdleClock();
      }
      this.changed();
    }
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    this.loading?.controller.abort();
    await this.change(() => this.close());
    this.listeners.clear();
  }

  /** Waits until there is a model, and counts the caller among its users. */
  private async take(signal?: AbortSignal): Promise<{ model: LanguageModel; summary: ModelSummary }> {
    if (this.waiting >= waitingLimit) {
      throw new OneBitError(
        'busy',
        `${waitingLimit} requests wait for the model already, the most possible: try again later.`,
      );
    }
    this.waiting++;
    this.changed();
    try {
      for (;;) {
        throwIfCancelled(signal);
        if (this.disposed) throw new OneBitError('no-model', 'The server is stopping.');
        if (this.changing > 0) {
          await until(this.changes, signal);
          if (this.changing === 0 && this.model === undefined && this.failure !== undefined)
            throw this.failure;
          continue;
        }
        if (this.model !== undefined && this.target !== undefined) {
          this.users++;
          return { model: this.model, summary: this.target.summary };
        }
        // A cancelled completion does not end the loading: the next one, a keystroke later, needs it.
        await until(this.reopen(), signal);
      }
    } finally {
      this.waiting--;
    }
  }

  private async reopen(): Promise<void> {
    let target = this.target;
    if (target === undefined) {
      if (this.options.defaultModel === undefined) {
        throw noModel();
      }
      target = {
        summary: await this.options.describe(this.options.defaultModel),
        contextLength: undefined,
        device: undefined,
      };
    }
    const wanted = target;
    await this.change(async () => {
      if (this.model === undefined) await this.open(wanted);
    });
  }

  /** Runs one change after those before it. */
  private async change(step: () => Promise<void>): Promise<void> {
    this.changing++;
    const done = this.changes.then(step);
    this.changes = done.catch(() => {});
    try {
      await done;
    } finally {
      this.changing--;
      this.changed();
    }
  }

  private async open(target: Target, signal?: AbortSignal): Promise<void> {
    if (this.disposed) throw new OneBitError('no-model', 'The server is stopping.');
    throwIfCancelled(signal);
    const before = this.target;
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    signal?.addEventListener('abort', abort, { once: true });
    this.loading = { target, controller, progress: 0 };
    this.changed();
    try {
      await this.close();
      this.target = target;
      this.failure = undefined;
      const model = await this.options.open(
        target.summary.path,
        {
          ...this.options.engine,
          contextLength: target.contextLength ?? this.options.engine.contextLength,
          device: target.device ?? this.options.engine.device,
        },
        {
          signal: controller.signal,
          onProgress: (progress) => this.loaded(progress),
          onNotice: (message) => {
            this.options.warn(message);
            this.changed();
          },
        },
      );
      if (controller.signal.aborted) {
        await model.dispose();
        throwIfCancelled(controller.signal);
      }
      this.model = model;
      this.options.onLoaded(target.summary, model.memory().device);
      this.startIdleClock();
    } catch (caught) {
      const error = asOneBitError(caught, target.summary.path);
      this.target = before ?? (error.code === 'cancelled' ? target : undefined);
      const goesBack = before !== undefined && !sameTarget(before, target);
      if (error.code !== 'cancelled' && !goesBack) this.failure = error;
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.loading = undefined;
      this.changed();
    }
  }

  /** Waits for the users to leave and disposes the model. */
  private async close(): Promise<void> {
    clearTimeout(this.idle);
    if (this.users > 0) await new Promise<void>((resolve) => this.drained.push(resolve));
    const model = this.model;
    this.model = undefined;
    this.failure = undefined;
    await model?.dispose();
  }

  private loaded({ done, total }: { done: number; total: number }): void {
    if (this.loading === undefined) return;
    this.loading.progress = total > 0 ? done / total : 0;
    this.changed();
  }

  private startIdleClock(): void {
    clearTimeout(this.idle);
    if (this.options.idleMs === 0 || this.model === undefined || this.users > 0) return;
    this.idle = setTimeout(() => {
      if (this.busy === 0)
        this.unload().catch((error: unknown) => this.options.warn(asOneBitError(error).message));
    }, this.options.idleMs);
    this.idle.unref();
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

function noModel(): OneBitError {
  return new OneBitError('no-model', 'No model is chosen: load one first.');
}

function sameTarget(a: Target | undefined, b: Target): boolean {
  return (
    a !== undefined &&
    a.summary.path === b.summary.path &&
    a.contextLength === b.contextLength &&
    a.device === b.device
  );
}

/** The promise's result, or `cancelled` as soon as the signal fires. */
async function until<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  throwIfCancelled(signal);
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new OneBitError('cancelled', 'Cancelled.'));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  // Whoever stops waiting leaves a promise that may still fail.
  promise.catch(() => {});
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
