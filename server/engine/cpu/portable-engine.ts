import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { projections, type ModelConfig, type Projection } from '../../checkpoint/model-config.ts';
import { OneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { MemoryReport } from '../../protocol/memory.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { requirePositions, type Engine, type EngineStep, type Sequence } from '../engine.ts';
import { Exclusive } from '../exclusive.ts';
import { cpuDevice, memoryReport } from '../memory-report.ts';
import { FloatLinear, readFiniteFloats, readLinear, type PortableLinear } from './portable-linear.ts';
import { planSteps, type StepBlock } from '../step-plan.ts';

/** Rows that run through the layers together. */
const blockRows = 256;
/** Longest time in ms that the event loop is kept waiting, between two linears at the latest. */
const slice = 10;

interface Layer {
  inputNorm: Float32Array;
  postNorm: Float32Array;
  linears: Record<Projection, PortableLinear>;
}

interface Weights {
  embedding: Float32Array;
  norm: Float32Array;
  head: FloatLinear;
  layers: Layer[];
}

/** Keys and values of one layer, `[position, kvHeads · headDim]` each. */
interface LayerCache {
  keys: Float32Array;
  values: Float32Array;
}

class PortableSequence implements Sequence {
  length = 0;
  readonly caches: LayerCache[];
  /** Positions that the caches have room for. */
  private room = 0;

  constructor(
    layers: number,
    private readonly kvSize: number,
    private readonly contextLength: number,
    private readonly onDispose: (sequence: PortableSequence) => void,
  ) {
    this.caches = Array.from({ length: layers }, () => ({
      keys: new Float32Array(0),
      values: new Float32Array(0),
    }));
  }

  get cacheBytes(): number {
    return this.caches.reduce((sum, { keys, values }) => sum + keys.byteLength + values.byteLength, 0);
  }

  reserve(positions: number): void {
    if (positions <= this.room) return;
    this.room = Math.min(this.contextLength, Math.max(positions, 2 * this.room, 64));
    const grown = (old: Float32Array): Float32Array => {
      const larger = new Float32Array(this.room * this.kvSize);
      larger.set(old);
      return larger;
    };
    for (const cache of this.caches) {
      cache.keys = grown(cache.keys);
      cache.values = grown(cache.values);
    }
  }

  truncate(n: number): void {
    this.length = Math.min(this.length, Math.max(0, n));
  }

  dispose(): void {
    this.caches.length = 0;
    this.onDispose(this);
  }
}

export interface PortableEngineOptions {
  contextLength: number;
  sequences: number;
  /** Why the model runs on the CPU, for the memory report. */
  reason?: string;
  /**
   * Called with the input `[rows, in]` and output `[rows, out]` of every linear of the blocks, in order; the arrays are
   * only valid during the call.
   */
  onLinear?: (name: string, x: Float32Array, y: Float32Array) => void;
}

/**
 * The whole model in plain TypeScript and f32: what the native engine is compared with, and what
 * serves where the addon cannot be built.
 */
export class PortableEngine implements Engine {
  readonly config: ModelConfig;
  readonly contextLength: number;
  private readonly work = new Exclusive();
  private readonly sequences = new Set<PortableSequence>();
  private lastYield = 0;

  private constructor(
    private weights: Weights | undefined,
    config: ModelConfig,
    private readonly options: PortableEngineOptions,
  ) {
    this.config = config;
    this.contextLength = options.contextLength;
  }

  /** Reads all weights into memory as f32 (signs stay packed). */
  static async load(
    checkpoint: Checkpoint,
    options: PortableEngineOptions,
    signal?: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<PortableEngine> {
    const { config } = checkpoint;
    const { hiddenSize, vocabSize } = config;
    const floats = (name: string) => readFiniteFloats(checkpoint, name, signal);
    const embedding = await floats('model.embed_tokens.weight');
    const headWeight = config.tieEmbeddings ? embedding : await floats('lm_head.weight');
    const layers: Layer[] = [];
    for (let i = 0; i < config.layers; i++) {
      throwIfCancelled(signal);
      onProgress?.({ phase: 'load', done: i, total: config.layers, unit: 'layers' });
      const entries: [Projection, PortableLinear][] = [];
      for (const name of projections) entries.push([name, await readLinear(checkpoint, i, name, signal)]);
      layers.push({
        inputNorm: await floats(`model.layers.${i}.input_layernorm.weight`),
        postNorm: await floats(`model.layers.${i}.post_attention_layernorm.weight`),
        linears: Object.fromEntries(entries) as Layer['linears'],
      });
    }
    const norm = await floats('model.norm.weight');
    onProgress?.({ phase: 'load', done: config.layers, total: config.layers, unit: 'layers' });
    const head = new FloatLinear(headWeight, vocabSize, hiddenSize);
    return new PortableEngine({ embedding, norm, head, layers }, config, options);
  }

  memory(): MemoryReport {
    const { config } = this;
    const { embedding, norm, head, layers } = this.loaded();
    const held = {
      signs: 0,
      values: 0,
      weights: 0,
      embedding: embedding.byteLength,
      head: config.tieEmbeddings ? 0 : head.weight.byteLength,
      norms: norm.byteLength,
      'kv-cache': [...this.sequences].reduce((sum, sequence) => sum + sequence.cacheBytes, 0),
      scratch: 0,
    };
    for (const { inputNorm, postNorm, linears } of layers) {
      held.norms += inputNorm.byteLength + postNorm.byteLength;
      for (const { bytes } of Object.values(linears)) {
        held.signs += bytes.signs;
        held.values += bytes.values;
        held.weights += bytes.weights;
        held.norms += bytes.norms;
      }
    }
    return memoryReport(config, {
      device: cpuDevice('typescript', this.options.reason),
      contextLength: this.contextLength,
      kvElementBytes: 4,
      held,
    });
  }

  open(): Sequence {
    this.loaded();
    if (this.sequences.size >= this.options.sequences) {
      throw new OneBitError('busy', `All ${this.options.sequences} sequences of this engine are in use.`);
    }
    const { layers, kvHeads, headDim } = this.config;
    const sequence = new PortableSequence(layers, kvHeads * headDim, this.contextLength, (closed) =>
      this.sequences.delete(closed),
    );
    this.sequences.add(sequence);
    return sequence;
  }

  forward(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.work.run(() => this.run(steps, signal));
  }

  copyPositions(from: Sequence, to: Sequence, end: number): Promise<void> {
    return this.work.run(async () => {
      this.loaded();
      const source = this.own(from);
      const target = this.own(to);
      requirePositions(source, end);
      if (target.length >= end) return;
      target.reserve(end);
      const { kvHeads, headDim } = this.config;
      const [first, last] = [target.length * kvHeads * headDim, end * kvHeads * headDim];
      target.caches.forEach(({ keys, values }, layer) => {
        const copied = source.caches[layer] as LayerCache;
        keys.set(copied.keys.subarray(first, last), first);
        values.set(copied.values.subarray(first, last), first);
      });
      target.length = end;
    });
  }

  async dispose(): Promise<void> {
    await this.work.idle();
    for (const sequence of [...this.sequences]) sequence.dispose();
    this.weights = undefined;
  }

  private loaded(): Weights {
    if (this.weights === undefined) throw new OneBitError('no-model', 'The engine has been disposed.');
    return this.weights;
  }

  private async run(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    throwIfCancelled(signal);
    this.loaded();
    const { contextLength, config } = this;
    const sequences = steps.map(({ sequence }) => this.own(sequence));
    const plan = planSteps(steps, { contextLength, vocabSize: config.vocabSize, blockRows });
    steps.forEach(({ tokens }, i) => sequences[i]?.reserve((sequences[i]?.length ?? 0) + tokens.length));
    const outputs = plan.wantedRows.map((rows) => new Float32Array(rows * config.vocabSize));
    for (const block of plan.blocks) await this.runBlock(block, sequences, outputs, signal);
    // Only now: an abort or an error leaves every sequence as it was.
    steps.forEach(({ tokens }, i) => {
      const sequence = sequences[i];
      if (sequence !== undefined) sequence.length += tokens.length;
    });
    return outputs;
  }

  private own(sequence: Sequence): PortableSequence {
    if (sequence instanceof PortableSequence && this.sequences.has(sequence)) return sequence;
    throw new OneBitError('internal', 'The sequence is disposed or belongs to another engine.');
  }

  /** One block through all layers; its wanted rows' logits go to the outputs. */
  private async runBlock(
    block: StepBlock,
    sequences: PortableSequence[],
    outputs: Float32Array[],
    signal?: AbortSignal,
  ): Promise<void> {
    const { config } = this;
    const { hiddenSize, intermediateSize, heads, kvHeads, headDim, rmsNormEps, vocabSize } = config;
    const { embedding, norm, head, layers } = this.loaded();
    const rows = block.tokens.length;
    const { onLinear } = this.options;
    let index = 0;
    const apply = async (projection: Projection, x: Float32Array, y: Float32Array): Promise<void> => {
      await this.breathe(signal);
      layers[index]?.linears[projection].apply(x, rows, y);
      onLinear?.(`model.layers.${index}.${projection}`, x, y);
    };

    const hidden = new Float32Array(rows * hiddenSize);
    block.tokens.forEach((token, row) =>
      hidden.set(embedding.subarray(token * hiddenSize, (token + 1) * hiddenSize), row * hiddenSize),
    );
    const normed = new Float32Array(rows * hiddenSize);
    const projected = new Float32Array(rows * hiddenSize);
    const q = new Float32Array(rows * heads * headDim);
    const k = new Float32Array(rows * kvHeads * headDim);
    const v = new Float32Array(rows * kvHeads * headDim);
    const attended = new Float32Array(rows * heads * headDim);
    const gate = new Float32Array(rows * intermediateSize);
    const up = new Float32Array(rows * intermediateSize);

    for (const { inputNorm, postNorm } of layers) {
      rmsNorm(hidden, inputNorm, rmsNormEps, normed);
      await apply('self_attn.q_proj', normed, q);
      await apply('self_attn.k_proj', normed, k);
      await apply('self_attn.v_proj', normed, v);
      rotate(q, block.position, heads, config);
      rotate(k, block.position, kvHeads, config);
      this.attend(index, block, sequences, { q, k, v }, attended);
      await apply('self_attn.o_proj', attended, projected);
      add(hidden, projected);
      rmsNorm(hidden, postNorm, rmsNormEps, normed);
      await apply('mlp.gate_proj', normed, gate);
      await apply('mlp.up_proj', normed, up);
      for (let i = 0; i < gate.length; i++) {
        const x = gate[i] as number;
        gate[i] = (x / (1 + Math.exp(-x))) * (up[i] as number);
      }
      await apply('mlp.down_proj', gate, projected);
      add(hidden, projected);
      index++;
    }
    for (const { row, step, outputRow } of block.wanted) {
      await this.breathe(signal);
      const x = hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize);
      const last = normed.subarray(0, hiddenSize);
      rmsNorm(x, norm, rmsNormEps, last);
      head.apply(last, 1, (outputs[step] as Float32Array).subarray(outputRow * vocabSize));
    }
  }

  /** Puts k and v into the caches, then causal attention of every row over its own sequence. */
  private attend(
    layer: number,
    block: StepBlock,
    sequences: PortableSequence[],
    { q, k, v }: { q: Float32Array; k: Float32Array; v: Float32Array },
    out: Float32Array,
  ): void {
    const { heads, kvHeads, headDim } = this.config;
    const kvSize = kvHeads * headDim;
    const scale = 1 / Math.sqrt(headDim);
    const caches = sequences.map((sequence) => sequence.caches[layer] as LayerCache);
    const scores = new Float64Array(Math.max(...block.position) + 1);
    for (let row = 0; row < block.tokens.length; row++) {
      const { keys, values } = caches[block.step[row] as number] as LayerCache;
      const position = block.position[row] as number;
      keys.set(k.subarray(row * kvSize, (row + 1) * kvSize), position * kvSize);
      values.set(v.subarray(row * kvSize, (row + 1) * kvSize), position * kvSize);
      for (let head = 0; head < heads; head++) {
        const qh = (row * heads + head) * headDim;
        const kv = Math.floor((head * kvHeads) / heads) * headDim;
        let largest = -Infinity;
        for (let p = 0; p <= position; p++) {
          let dot = 0;
          const key = p * kvSize + kv;
          for (let i = 0; i < headDim; i++) dot += (q[qh + i] as number) * (keys[key + i] as number);
          scores[p] = dot * scale;
          largest = Math.max(largest, dot * scale);
        }
        let total = 0;
        for (let p = 0; p <= position; p++) {
          const weight = Math.exp((scores[p] as number) - largest);
          scores[p] = weight;
          total += weight;
        }
        for (let i = 0; i < headDim; i++) {
          let sum = 0;
          for (let p = 0; p <= position; p++) {
            sum += (scores[p] as number) * (values[p * kvSize + kv + i] as number);
          }
          out[qh + i] = sum / total;
        }
      }
    }
  }

  /** Lets the event loop run if it has waited long enough; throws `cancelled` if the signal has fired. */
  private async breathe(signal?: AbortSignal): Promise<void> {
    if (performance.now() - this.lastYield > slice) {
      await nextTurn();
      this.lastYield = performance.now();
    }
    throwIfCancelled(signal);
  }
}

/** y = x ⊙ gain / sqrt(mean(x²) + eps), for each row of gain.length elements. */
function rmsNorm(x: Float32Array, gain: Float32Array, eps: number, y: Float32Array): void {
  const size = gain.length;
  for (let start = 0; start < x.length; start += size) {
    let squares = 0;
    for (let i = 0; i < size; i++) squares += (x[start + i] as number) ** 2;
    const scale = 1 / Math.sqrt(squares / size + eps);
    for (let i = 0; i < size; i++) y[start + i] = (x[start + i] as number) * scale * (gain[i] as number);
  }
}

/** RoPE in the half-rotated order of Hugging Face: (x[i], x[i + headDim/2]) turn together. */
function rotate(x: Float32Array, positions: Int32Array, heads: number, config: ModelConfig): void {
  const { headDim, ropeTheta } = config;
  const half = headDim / 2;
  for (let i = 0; i < half; i++) {
    const frequency = ropeTheta ** (-i / half);
    for (const [row, position] of positions.entries()) {
      const cos = Math.cos(position * frequency);
      const sin = Math.sin(position * frequency);
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * headDim + i;
        const a = x[at] as number;
        const b = x[at + half] as number;
        x[at] = a * cos - b * sin;
        x[at + half] = b * cos + a * sin;
      }
    }
  }
}

function add(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i] = (x[i] as number) + (y[i] as number);
}
