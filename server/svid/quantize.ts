import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';
import type { Checkpoint, TensorInfo, TensorSource } from '../checkpoint/checkpoint.ts';
import { dtypeBytes, isFloatDtype, type FloatDtype } from '../checkpoint/dtype.ts';
import { floatsToHalfBytes } from '../checkpoint/float-conversion.ts';
import { hfConfigJson } from '../checkpoint/hf-config-json.ts';
import { projections } from '../checkpoint/model-config.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { packedRowBytes } from '../checkpoint/sign-packing.ts';
import { writeCheckpoint } from '../checkpoint/write-checkpoint.ts';
import { packageVersion } from '../package-root.ts';
import { OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { halve } from './half.ts';
import { ReadAhead } from './read-ahead.ts';
import { svid } from './svid.ts';

export interface QuantizeOptions {
  /** Replace a checkpoint that is in the output folder, once the new one is complete. */
  replace?: boolean;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/** How well one matrix is approximated: ‖W − S ⊙ (h gᵀ)‖ / ‖W‖. */
export interface QuantizedLayer {
  name: string;
  relativeError: number;
}

export interface QuantizeReport {
  output: string;
  layers: QuantizedLayer[];
  /** Over the layers, unweighted. */
  meanRelativeError: number;
  /** Bytes of the source's tensors and of the output's. */
  sourceBytes: number;
  bytes: number;
  seconds: number;
}

/** Pass-through tensors are converted in parts of this size. */
const partBytes = 16 << 20;

/**
 * Makes a packed OneBit checkpoint from a full-precision one by SVID: the seven linears of each block
 * become signs, g and h; everything else is stored in f16. Tensors stream: a few are read and factored
 * at a time, in buffers that are used again, so that memory stays under twice the largest matrix in
 * f32 whatever the model's size. The output appears whole or not at all.
 * @throws unsupported (the source is 1-bit already), bad-value (NaN, or an `in` that 8 does not divide;
 *   names the tensor), bad-request (the output folder is taken), no-space, cancelled
 */
export async function quantize(
  model: string,
  output: string,
  options: QuantizeOptions = {},
): Promise<QuantizeReport> {
  if (resolve(model) === resolve(output)) {
    throw new OneBitError(
      'bad-request',
      `The output cannot be the model itself (${model}): choose another folder.`,
    );
  }
  const started = performance.now();
  const source = await openCheckpoint(model, options.signal);
  const stop = new AbortController();
  const onAbort = () => stop.abort();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted === true) stop.abort();
  let work: Quantization | undefined;
  try {
    work = new Quantization(source, stop.signal, options.onProgress);
    const report = { method: 'svid', layers: work.layers };
    await writeCheckpoint(output, {
      config: hfConfigJson(source.config, 'onebit'),
      tensors: work.outputs(),
      tokenizerFrom: model,
      // Written after the tensors, when `layers` is full.
      onebit: { tool: 'onebit', version: packageVersion(), source: basename(resolve(model)), ...report },
      replace: options.replace,
      signal: stop.signal,
    });
    return {
      output: resolve(output),
      layers: work.layers,
      meanRelativeError:
        work.layers.reduce((sum, layer) => sum + layer.relativeError, 0) / work.layers.length,
      sourceBytes: work.sourceBytes,
      bytes: work.bytes,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    // What still runs after a failure must end before the source closes under it.
    stop.abort();
    await work?.settled();
    options.signal?.removeEventListener('abort', onAbort);
    await source.close();
  }
}

/** One matrix, factored and ready to be written. */
interface Packed {
  signs: Uint8Array;
  g: Uint8Array;
  h: Uint8Array;
}

/** The tensors of the output, made from those of the source as the writer asks for them. */
class Quantization {
  readonly layers: QuantizedLayer[] = [];
  readonly sourceBytes: number;
  bytes = 0;
  private readonly started = performance.now();
  private readonly factored: ReadAhead<Packed>;
  private readonly names: string[] = [];
  private readonly buffers: Uint8Array[];
  private tensorsDone = 0;
  private bytesDone = 0;

  constructor(
    private readonly source: Checkpoint,
    private readonly signal: AbortSignal,
    private readonly onProgress: OnProgress | undefined,
  ) {
    if (source.kind !== 'full') {
      throw new OneBitError(
        'unsupported',
        `${source.path} is a 1-bit model already (${source.kind}): give the full-precision checkpoint that it came from.`,
      );
    }
    let largest = 0;
    for (const info of source.tensors.values()) {
      if (!isProjection(info.name)) continue;
      packedRowBytes(info.shape[1] as number, info.name);
      largest = Math.max(largest, info.byteLength);
      this.names.push(info.name.slice(0, -'.weight'.length));
    }
    this.sourceBytes = [...source.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0);
    // Two matrices of f32 or four of f16 take as much memory; more than one a core (and one being
    // read) would bring nothing.
    const bytesPerWeight = dtypeBytes[this.info(`${this.names[0]}.weight`).dtype];
    const width = Math.max(2, Math.min(8 / bytesPerWeight, availableParallelism() + 1));
    this.buffers = Array.from({ length: width }, () => new Uint8Array(largest));
    this.factored = new ReadAhead(this.names.length, width, (i) => this.factor(i));
  }

  outputs(): TensorSource[] {
    const outputs: TensorSource[] = [];
    const index = new Map(this.names.map((name, i) => [`${name}.weight`, i]));
    for (const { name, shape } of this.source.tensors.values()) {
      const i = index.get(name);
      if (i === undefined) {
        outputs.push({ name, shape, dtype: 'F16', bytes: () => this.passThrough(name) });
        continue;
      }
      const [out, inner] = shape as [number, number];
      const base = this.names[i] as string;
      const part = async (key: keyof Packed) => {
        const packed = (await this.factored.take(i))[key];
        this.bytes += packed.byteLength;
        return packed;
      };
      outputs.push(
        { name, dtype: 'U8', shape: [out, inner / 8], bytes: () => part('signs') },
        { name: `${base}.weight_scale`, dtype: 'F16', shape: [out], bytes: () => part('h') },
        { name: `${base}.input_factor`, dtype: 'F16', shape: [inner], bytes: () => part('g') },
      );
    }
    return outputs;
  }

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    await this.factored.settled();
  }

  private async factor(i: number): Promise<Packed> {
    const base = this.names[i] as string;
    const name = `${base}.weight`;
    const info = this.info(name);
    const [out, inner] = info.shape as [number, number];
    // The reader ahead has at most `width` matrices in hand: i − width has given its buffer back.
    const bytes = (this.buffers[i % this.buffers.length] as Uint8Array).subarray(0, info.byteLength);
    await this.source.readInto(name, bytes, 0, this.signal);
    const factors = await svid({ bytes, dtype: floatDtype(info) }, out, inner, { name, signal: this.signal });
    this.layers[i] = { name: base, relativeError: factors.relativeError };
    this.report(info, factors.relativeError);
    return {
      signs: factors.signs,
      h: floatsToHalfBytes(factors.h, `${base}.weight_scale`),
      g: floatsToHalfBytes(factors.g, `${base}.input_factor`),
    };
  }

  private async passThrough(name: string): Promise<Uint8Array> {
    const info = this.info(name);
    const dtype = floatDtype(info);
    const size = dtypeBytes[dtype];
    const halves = new Uint8Array((info.byteLength / size) * 2);
    const part = new Uint8Array(Math.min(partBytes, info.byteLength));
    for (let start = 0; start < info.byteLength; start += partBytes) {
      const bytes = part.subarray(0, Math.min(partBytes, info.byteLength - start));
      await this.source.readInto(name, bytes, start, this.signal);
      const first = start / size;
      const target = halves.subarray(2 * first, 2 * (first + bytes.byteLength / size));
      await halve({ bytes, dtype }, target, { name, first });
    }
    this.bytes += halves.byteLength;
    this.report(info);
    return halves;
  }

  private info(name: string): TensorInfo {
    const info = this.source.tensors.get(name);
    if (info === undefined)
      throw new OneBitError('missing-tensor', `${this.source.path} has no tensor ${name}.`);
    return info;
  }

  private report(info: TensorInfo, relativeError?: number): void {
    this.tensorsDone++;
    this.bytesDone += info.byteLength;
    const seconds = (performance.now() - this.started) / 1000;
    this.onProgress?.({
      phase: 'SVID',
      done: this.tensorsDone,
      total: this.source.tensors.size,
      unit: 'tensors',
      message: info.name,
      remainingSeconds: (seconds * (this.sourceBytes - this.bytesDone)) / this.bytesDone,
      ...(relativeError === undefined ? {} : { metrics: { relativeError } }),
    });
  }
}

function isProjection(name: string): boolean {
  return projections.some((projection) => name.endsWith(`.${projection}.weight`));
}

function floatDtype({ name, dtype }: TensorInfo): FloatDtype {
  if (isFloatDtype(dtype)) return dtype;
  throw new OneBitError('unsupported', `${name} is ${dtype}; F32, F16 or BF16 is needed.`);
}
