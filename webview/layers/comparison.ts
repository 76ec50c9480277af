import { OneBitError } from '../../server/protocol/error.ts';
import type { InspectCheckpointsResult, InspectLayersResult } from '../../server/protocol/inspect.ts';
import type { Progress } from '../../server/protocol/progress.ts';
import type { Asks } from './asks.ts';

export type RunCheckpoint = InspectCheckpointsResult['checkpoints'][number];

/** What to show: a checkpoint of the run in place of the model, and the one that it is compared with. */
export interface Choice {
  /** Path; the model itself without one. */
  at?: string;
  other?: string;
}

/** The layers of a checkpoint, and those of the one that it is compared with. */
export interface Compared {
  result: InspectLayersResult;
  before?: InspectLayersResult;
}

/** Results that stay in memory; a run has 34 checkpoints at most. 7B's take 250 kB each. */
const mostResults = 40;

const keyOf = (model: string, other?: string) => JSON.stringify([model, other]);

/** The layers over a training run and beside other checkpoints: asks the server for what is not there yet. */
export class Comparison {
  /** Of the run that the model comes from, in order of step. */
  checkpoints: RunCheckpoint[] = [];
  /** What is being read now. */
  reading: { path: string; progress?: Progress } | undefined;
  /** Why the last choice could not be read. */
  error: string | undefined;
  private base: InspectLayersResult | undefined;
  private readonly results = new Map<string, InspectLayersResult>();
  private last: Compared | undefined;
  private wanted: string | undefined;
  private asking: AbortController | undefined;

  /** @param changed something that was asked for has come, or could not be read */
  constructor(
    private readonly asks: Asks,
    private readonly changed: () => void,
  ) {}

  /** What there is of the choice now: the one before it until all of it has been read. */
  get(base: InspectLayersResult, choice: Choice): Compared {
    if (this.base !== base) this.begin(base);
    const model = choice.at ?? base.model;
    const other = choice.other === model ? undefined : choice.other;
    const result = this.results.get(keyOf(model, other));
    const before = other === undefined ? undefined : this.results.get(keyOf(other));
    if (result !== undefined && (other === undefined || before !== undefined)) {
      this.stop();
      this.wanted = undefined;
      this.error = undefined;
      this.last = { result, before };
      return this.last;
    }
    const wanted = keyOf(model, other);
    if (this.wanted !== wanted) {
      this.wanted = wanted;
      void this.read(base, model, other);
    }
    return this.last ?? { result: base };
  }

  /** All results that are in memory: one scale of colours fits them all. */
  seen(): Iterable<InspectLayersResult> {
    return this.results.values();
  }

  private begin(base: InspectLayersResult): void {
    this.stop();
    this.base = base;
    this.results.clear();
    this.results.set(keyOf(base.model), base);
    this.checkpoints = [];
    this.error = undefined;
    this.wanted = undefined;
    this.last = { result: base };
    void this.list(base);
  }

  private stop(): void {
    this.asking?.abort();
    this.asking = undefined;
    this.reading = undefined;
  }

  private async list(base: InspectLayersResult): Promise<void> {
    // A model that comes from no run has none; whatever else is wrong shows where the model is used.
    const found = await this.asks
      .ask('inspect/checkpoints', { model: base.model })
      .catch(() => ({ checkpoints: [] }));
    if (this.base !== base) return;
    this.checkpoints = found.checkpoints;
    this.changed();
  }

  private async read(base: InspectLayersResult, model: string, other: string | undefined): Promise<void> {
    this.stop();
    const asking = new AbortController();
    this.asking = asking;
    this.error = undefined;
    const { teacher } = base;
    const wants = [
      ...(other === undefined ? [] : [{ model: other }]),
      { model, ...(other === undefined ? {} : { other }) },
    ];
    try {
      for (const want of wants) {
        const key = keyOf(want.model, want.other);
        if (this.results.has(key)) continue;
        this.reading = { path: want.model };
        const params = { id: crypto.randomUUID(), ...want, ...(teacher === undefined ? {} : { teacher }) };
        const result = await this.asks.ask('inspect/layers', params, asking.signal, (progress) => {
          this.reading = { path: want.model, progress };
          this.changed();
        });
        if (asking.signal.aborted) return;
        this.keep(key, result);
      }
    } catch (caught) {
      if (asking.signal.aborted || (caught instanceof OneBitError && caught.code === 'cancelled')) return;
      this.error = caught instanceof Error ? caught.message : String(caught);
    }
    this.reading = undefined;
    this.changed();
  }

  private keep(key: string, result: InspectLayersResult): void {
    this.results.set(key, result);
    for (const [old, one] of this.results) {
      if (this.results.size <= mostResults) break;
      if (one !== this.base && old !== key) this.results.delete(old);
    }
  }
}
