import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { packageRoot } from '../../package-root.ts';
import { mostTop } from '../engine.ts';
import {
  nativeBlockRows,
  type EngineAddon,
  type LoadOutcome,
  type MatrixSlot,
  type NativeDtype,
  type NativeModel,
  type NativeShape,
  type VectorName,
} from './native-bindings.ts';

/** What a WebAssembly memory can hold, in bytes; some is kept for logits and what malloc leaves unused. */
export const wasmMostBytes = 2 ** 32 - 2 ** 27;
const stackBytes = 1 << 20;
/** More threads than this only wait for memory. */
const mostThreads = 16;

const folder = join(packageRoot(), 'server', 'native', 'wasm');
let compiled: WebAssembly.Module | undefined;
let chosenThreads: number | undefined;

/** The engine in WebAssembly, with the interface of the addon's engine part. */
export const wasmAddon: EngineAddon = {
  isa: 'wasm',
  setThreads: (n) => (chosenThreads = n < 1 ? undefined : n),
  threads: () => Math.min(mostThreads, chosenThreads ?? availableParallelism()),
  trimMemory: () => undefined,
  get NativeModel() {
    return WasmModel;
  },
};

/** Where the module keeps what both sides read and write; byte offsets into its memory. */
interface Prepared {
  stacks: number[];
  bytes: number[];
  rows: number;
  topIds: number;
  topValues: number;
  cancelFlag: number;
}

interface Answer {
  id: number;
  value?: unknown;
  error?: string;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * A model in a WebAssembly memory of its own, which ends with it. A worker runs what messages ask for, in their order, so
 * that the event loop stays free; logits and rows go through the shared memory.
 */
class WasmModel implements NativeModel {
  private readonly memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
  private readonly worker: Worker;
  private readonly helpers: Worker[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private readonly open = new Set<number>();
  private nextId = 0;
  private nextCache = 0;
  private prepared: Prepared | undefined;
  private failure: Error | undefined;

  constructor(private readonly shape: NativeShape) {
    this.worker = this.startWorker();
    this.worker.unref();
    this.worker.on('message', ({ id, value, error }: Answer) => {
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.worker.unref();
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject((this.failure = new Error(error)));
    });
    this.worker.on('error', (error) => this.fail(error));
    this.worker.on('exit', () => this.fail(new Error('The WebAssembly engine has ended.')));
    const { hidden, intermediate, layers, heads, kvHeads, headDim, vocab, context } = shape;
    const { rmsEps, layerNormEps, ropeTheta, tied, exact, halfCache } = shape;
    this.tell('create', [
      ...[hidden, intermediate, layers, heads, kvHeads, headDim, vocab, context],
      ...[rmsEps, layerNormEps, ropeTheta, tied, exact, halfCache].map(Number),
    ]);
  }

  loadMatrix(
    slot: MatrixSlot,
    layer: number,
    projection: number,
    out: number,
    inSize: number,
    dtype: NativeDtype,
    source: string | Uint8Array,
    offset: number,
    byteLength: number,
  ): Promise<LoadOutcome> {
    return this.orOutOfMemory(
      this.ask('loadMatrix', [slot, layer, projection, out, inSize, dtype, source, offset, byteLength]),
    ) as Promise<LoadOutcome>;
  }

  setVector(name: VectorName, layer: number, projection: number, values: Float32Array): void {
    this.tell('setVector', [name, layer, projection, values]);
  }

  roundHead(): Promise<'ok' | 'out-of-memory'> {
    return this.orOutOfMemory(this.ask('roundHead', []).then(() => 'ok')) as Promise<'ok' | 'out-of-memory'>;
  }

  async prepare(): Promise<void> {
    this.prepared = (await this.ask('prepare', [wasmAddon.threads(), stackBytes])) as Prepared;
    for (const stack of this.prepared.stacks) {
      const helper = this.startWorker(stack + stackBytes);
      helper.unref();
      helper.on('error', (error) => this.fail(error));
      this.helpers.push(helper);
    }
  }

  openCache(): number {
    const { context } = this.shape;
    const { cachePosition, ...held } = this.bytes();
    const taken = Object.values(held).reduce((sum, bytes) => sum + bytes, 0);
    if (taken + (this.open.size + 1) * context * cachePosition > wasmMostBytes)
      throw new Error('out-of-memory');
    const cache = this.nextCache++;
    this.open.add(cache);
    this.tell('openCache', [cache]);
    return cache;
  }

  closeCache(cache: number): void {
    this.open.delete(cache);
    this.tell('closeCache', [cache]);
  }

  async copyCache(from: number, to: number, first: number, end: number): Promise<'ok'> {
    await this.ask('copyCache', [from, to, first, end]);
    return 'ok';
  }

  async forward(
    tokens: Int32Array,
    positions: Int32Array,
    caches: Int32Array,
    wanted: Int32Array,
    outputs: Float32Array[],
    topIds: Int32Array,
    topValues: Float32Array,
  ): Promise<'ok' | 'cancelled'> {
    const { shape } = this;
    const at = this.requirePrepared();
    const isBad = (token: number, i: number) =>
      token < 0 || token >= shape.vocab || (positions[i] ?? -1) < 0 || (positions[i] ?? 0) >= shape.context;
    if (tokens.length > nativeBlockRows || tokens.some(isBad))
      throw new Error('A row of the block is out of range.');
    // As of now: a cancel that comes before the worker has begun counts.
    this.setCancelled(0);
    const rows = new Int32Array(this.buffer(), at.rows, 5 * nativeBlockRows);
    rows.set(tokens);
    rows.set(positions, nativeBlockRows);
    rows.set(caches, 2 * nativeBlockRows);
    const count = wanted.length / 4;
    for (let i = 0; i < count; i++) {
      rows[3 * nativeBlockRows + i] = wanted[4 * i] ?? 0;
      rows[4 * nativeBlockRows + i] = wanted[4 * i + 3] ?? 0;
    }
    const pass = (await this.ask('forward', [tokens.length, count])) as {
      outcome: 'ok' | 'cancelled';
      logits: number;
    };
    const buffer = this.buffer();
    topIds.set(new Int32Array(buffer, at.topIds, count * mostTop));
    topValues.set(new Float32Array(buffer, at.topValues, count * (mostTop + 1)));
    let next = pass.logits;
    for (let i = 0; i < count; i++) {
      const [, output = 0, row = 0, top = 0] = wanted.subarray(4 * i, 4 * i + 4);
      if (top > 0) continue;
      outputs[output]?.set(new Float32Array(buffer, next, shape.vocab), row * shape.vocab);
      next += 4 * shape.vocab;
    }
    return pass.outcome;
  }

  cancel(): void {
    if (this.prepared !== undefined) this.setCancelled(1);
  }

  bytes(): ReturnType<NativeModel['bytes']> {
    const [
      signs = 0,
      values = 0,
      weights = 0,
      embedding = 0,
      head = 0,
      norms = 0,
      scratch = 0,
      cachePosition = 0,
    ] = this.requirePrepared().bytes;
    return { signs, values, weights, embedding, head, norms, scratch, cachePosition };
  }

  free(): void {
    for (const worker of [this.worker, ...this.helpers]) void worker.terminate();
    this.fail(new Error('The model has been freed.'));
  }

  private startWorker(stack?: number): Worker {
    compiled ??= new WebAssembly.Module(readFileSync(join(folder, 'onebit.wasm')));
    return new Worker(join(folder, 'worker.mjs'), {
      workerData: { module: compiled, memory: this.memory, stack },
      execArgv: [],
    });
  }

  /** The memory as it is now: another thread may have made it longer. */
  private buffer(): ArrayBufferLike {
    this.memory.grow(0);
    return this.memory.buffer;
  }

  private setCancelled(value: number): void {
    Atomics.store(new Uint8Array(this.buffer()), this.requirePrepared().cancelFlag, value);
  }

  private requirePrepared(): Prepared {
    if (this.prepared === undefined) throw new Error('The model is not ready.');
    return this.prepared;
  }

  private ask(call: string, args: unknown[]): Promise<unknown> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      if (this.waiting.size === 0) this.worker.ref();
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, call, args });
    });
  }

  /** Without an answer: what goes wrong is told to who asks next. */
  private tell(call: string, args: unknown[]): void {
    this.ask(call, args).catch(() => undefined);
  }

  private orOutOfMemory(outcome: Promise<unknown>): Promise<unknown> {
    return outcome.catch((error: Error) => {
      if (error.message === 'out-of-memory') return error.message;
      throw error;
    });
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.values()) reject(this.failure);
    this.waiting.clear();
  }
}
