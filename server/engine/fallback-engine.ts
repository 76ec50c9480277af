import type { ModelConfig } from '../checkpoint/model-config.ts';
import { asOneBitError, OneBitError, throwIfCancelled, type ErrorCode } from '../protocol/error.ts';
import type { MemoryReport } from '../protocol/memory.ts';
import { requirePositions, type Engine, type EngineStep, type Sequence } from './engine.ts';
import { Exclusive } from './exclusive.ts';

/** Errors after which a device is not to be trusted any more; others are the request's own. */
const deviceFailures: ReadonlySet<ErrorCode> = new Set([
  'gpu-lost',
  'gpu-missing',
  'out-of-memory',
  'internal',
]);

export interface FallbackOptions {
  /** Why the model runs on the device, for the memory report. */
  reason: string;
  /** Loads the same model where it cannot be lost. */
  openBackup(reason: string, signal: AbortSignal): Promise<Engine>;
  /** Resolves when the device fails while nobody waits for it. */
  failed?: Promise<OneBitError>;
  /** The model has moved. */
  onMoved(message: string): void;
}

/** A sequence with its tokens, so that another engine can take it over. */
class KeptSequence implements Sequence {
  readonly tokens: number[] = [];
  /** In the engine that runs now; it may hold fewer tokens, after a move. */
  inner: Sequence | undefined;

  constructor(private readonly onDispose: (sequence: KeptSequence) => void) {}

  get length(): number {
    return this.tokens.length;
  }

  truncate(n: number): void {
    this.tokens.length = Math.min(this.tokens.length, Math.max(0, n));
    this.inner?.truncate(this.tokens.length);
  }

  dispose(): void {
    this.inner?.dispose();
    this.inner = undefined;
    this.onDispose(this);
  }
}

/**
 * An engine on a device that can be lost, and the CPU behind it. When the device fails, the model is loaded
 * again on the CPU, every sequence is run there up to where it was, and the step that failed is repeated:
 * who waits for it sees only that it took longer. What that changes is rounding, so the tokens that follow
 * are those the CPU would have chosen after the same text.
 */
export class FallbackEngine implements Engine {
  readonly config: ModelConfig;
  readonly contextLength: number;
  private readonly work = new Exclusive();
  private readonly sequences = new Set<KeptSequence>();
  private readonly lifetime = new AbortController();
  private current: Engine | undefined;
  private lastReport: MemoryReport;
  private moved: string | undefined;

  constructor(
    first: Engine,
    private readonly options: FallbackOptions,
  ) {
    this.current = first;
    this.config = first.config;
    this.contextLength = first.contextLength;
    this.lastReport = first.memory();
    void options.failed?.then((error) =>
      // An error of this move is told to the next caller, whose step tries it again.
      this.work.run(() => this.move(error)).catch(() => undefined),
    );
  }

  memory(): MemoryReport {
    if (this.lifetime.signal.aborted) throw new OneBitError('no-model', 'The engine has been disposed.');
    // While the model moves there is nothing but the last report.
    if (this.current !== undefined) this.lastReport = this.current.memory();
    const { device } = this.lastReport;
    return { ...this.lastReport, device: { ...device, reason: this.moved ?? this.options.reason } };
  }

  open(): Sequence {
    if (this.lifetime.signal.aborted) throw new OneBitError('no-model', 'The engine has been disposed.');
    const sequence = new KeptSequence((closed) => this.sequences.delete(closed));
    try {
      sequence.inner = this.current?.open();
    } catch (error) {
      // The next step finds the device in that state again, and moves.
      if (this.moved !== undefined || !isDeviceFailure(error)) throw error;
    }
    this.sequences.add(sequence);
    return sequence;
  }

  forward(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.work.run(async () => {
      throwIfCancelled(signal);
      const sequences = steps.map(({ sequence }) => this.own(sequence));
      try {
        if (this.current !== undefined) return await this.step(this.current, steps, sequences, signal);
      } catch (error) {
        if (this.moved !== undefined || !isDeviceFailure(error)) throw error;
        await this.move(asOneBitError(error));
      }
      throwIfCancelled(signal);
      return this.step(this.current ?? (await this.openBackup()), steps, sequences, signal);
    });
  }

  copyPositions(from: Sequence, to: Sequence, end: number): Promise<void> {
    return this.work.run(async () => {
      const [source, target] = [this.own(from), this.own(to)];
      requirePositions(source, end);
      if (source === target || target.length >= end) return;
      try {
        if (target.inner?.length === target.length && (source.inner?.length ?? 0) >= end) {
          await this.current?.copyPositions?.(source.inner as Sequence, target.inner, end);
        }
      } catch (error) {
        if (this.moved !== undefined || !isDeviceFailure(error)) throw error;
        await this.move(asOneBitError(error));
      }
      // What was not copied runs before the sequence's next step.
      target.tokens.push(...source.tokens.slice(target.length, end));
    });
  }

  async dispose(): Promise<void> {
    if (this.lifetime.signal.aborted) return;
    this.lifetime.abort();
    // First the engine, which ends a step that runs; then what a move may have opened meanwhile.
    await this.current?.dispose();
    await this.work.idle();
    await this.current?.dispose();
    this.current = undefined;
    this.sequences.clear();
  }

  private async step(
    engine: Engine,
    steps: EngineStep[],
    sequences: KeptSequence[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const inner = sequences.map((sequence) => (sequence.inner ??= engine.open()));
    const behind: EngineStep[] = [];
    sequences.forEach(({ tokens }, i) => {
      const sequence = inner[i] as Sequence;
      if (sequence.length < tokens.length) {
        behind.push({ sequence, tokens: tokens.slice(sequence.length), logits: 'none' });
      }
    });
    if (behind.length > 0) await engine.forward(behind, signal);
    const outputs = await engine.forward(
      steps.map((step, i) => ({ ...step, sequence: inner[i] as Sequence })),
      signal,
    );
    steps.forEach(({ tokens }, i) => sequences[i]?.tokens.push(...Array.from(tokens)));
    return outputs;
  }

  /** Leaves the device for the CPU, once. */
  private async move(error: OneBitError): Promise<void> {
    if (this.moved !== undefined || this.lifetime.signal.aborted) return;
    this.moved = `moved from ${this.lastReport.device.name}: ${error.message}`;
    const lost = this.current;
    this.current = undefined;
    for (const sequence of this.sequences) sequence.inner = undefined;
    // What is left of a lost device may fail to end; its memory is gone with it.
    await lost?.dispose().catch(() => undefined);
    this.options.onMoved(`${error.message} The model goes on with the CPU.`);
    await this.openBackup();
  }

  /** @throws what loading on the CPU throws; the next step tries it again */
  private async openBackup(): Promise<Engine> {
    const { signal } = this.lifetime;
    throwIfCancelled(signal);
    const backup = await this.options.openBackup(this.moved ?? '', signal);
    this.current = backup;
    return backup;
  }

  private own(sequence: Sequence): KeptSequence {
    if (sequence instanceof KeptSequence && this.sequences.has(sequence)) return sequence;
    throw new OneBitError('bad-request', 'The sequence is disposed or belongs to another engine.');
  }
}

function isDeviceFailure(error: unknown): boolean {
  return deviceFailures.has(asOneBitError(error).code);
}
