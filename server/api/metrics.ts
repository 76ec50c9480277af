import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { GenerateResult } from '../engine/language-model.ts';
import { BufferLedger } from '../gpu/buffer-ledger.ts';
import type { ServerMemory } from '../protocol/methods.ts';

/** Figures of this server for Prometheus, at `/metrics`. Reading them does not wake the model. */
export class Metrics {
  private readonly registry = new Registry();
  private readonly completions: Counter<'outcome'>;
  private readonly tokens: Counter<'kind'>;
  private readonly late: Counter;
  private readonly prefill: Histogram;
  private readonly decode: Histogram;

  /** @param memory read whenever the metrics are asked for */
  constructor(memory: () => ServerMemory) {
    const registers = [this.registry];
    this.completions = new Counter({
      name: 'onebit_completions_total',
      help: 'Completions that ended, by finish reason or error code.',
      labelNames: ['outcome'],
      registers,
    });
    this.tokens = new Counter({
      name: 'onebit_tokens_total',
      help: 'Tokens: of prompts, of prompts found in the KV cache, generated.',
      labelNames: ['kind'],
      registers,
    });
    this.late = new Counter({
      name: 'onebit_unwanted_tokens_total',
      help: 'Tokens generated after their client had gone or cancelled: at most one a completion.',
      registers,
    });
    this.prefill = new Histogram({
      name: 'onebit_prefill_seconds',
      help: 'Time from the start of a prompt to its first token.',
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    });
    this.decode = new Histogram({
      name: 'onebit_decode_tokens_per_second',
      help: 'Speed of generation, by completion.',
      buckets: [1, 3, 10, 30, 100, 300, 1000],
      registers,
    });
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    };
    gauge('onebit_completions_active', 'Completions that run.', () => memory().model.active);
    gauge('onebit_completions_queued', 'Completions that wait.', () => memory().model.queued);
    gauge('onebit_model_loaded', '1 while a model is in memory.', () =>
      Number(memory().model.state === 'ready'),
    );
    gauge(
      'onebit_model_bytes',
      'Memory of the loaded weights.',
      () => memory().model.memory?.modelBytes ?? 0,
    );
    gauge('onebit_kv_cache_bytes', 'Memory of the KV cache.', () => memory().model.memory?.kvCacheBytes ?? 0);
    gauge('onebit_gpu_buffers', 'Buffers in GPU memory.', () => BufferLedger.alive.buffers);
    gauge('onebit_gpu_bytes', 'Bytes of these buffers.', () => BufferLedger.alive.bytes);
    gauge(
      'process_resident_memory_bytes',
      'Resident memory of the process.',
      () => memory().process.rssBytes,
    );
  }

  completed({ finishReason, timings }: GenerateResult): void {
    this.completions.inc({ outcome: finishReason });
    this.tokens.inc({ kind: 'prompt' }, timings.promptTokens);
    this.tokens.inc({ kind: 'cached' }, timings.cachedTokens);
    this.tokens.inc({ kind: 'generated' }, timings.completionTokens);
    if (timings.completionTokens > 0) this.prefill.observe(timings.prefillMs / 1000);
    if (timings.decodeMs > 0) this.decode.observe((timings.completionTokens * 1000) / timings.decodeMs);
  }

  /** Tokens that nobody waits for any more. */
  unwanted(tokens: number): void {
    this.late.inc(tokens);
  }

  failed(code: string): void {
    this.completions.inc({ outcome: code });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** The metrics as text. */
  read(): Promise<string> {
    return this.registry.metrics();
  }
}
