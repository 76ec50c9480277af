import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { floatsToHalfBytes, widenFloats } from '../checkpoint/float-conversion.ts';
import { writeSafetensors } from '../checkpoint/safetensors-writer.ts';
import { OneBitError, asOneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { tf } from './backend/tfjs.ts';
import type { WindowSource, WindowState } from './data/windows.ts';
import type { Parameters } from './parameters.ts';
import { Random } from './random.ts';
import { writeWhole } from './run-checkpoint.ts';

export interface TeacherCacheOptions {
  folder: string;
  /** Tokens kept a position; all others are one tail bucket. */
  top: number;
  /** Windows kept; training goes through them again and again, each time in another order. */
  windows: number;
}

/** The teacher's likeliest tokens at every position of some windows, as ops/bucket-kl.ts takes them. */
export interface CachedTarget {
  /** `[count · window, top]` int32. */
  tokens: tf.Tensor2D;
  /** `[count · window, top]` f32. */
  probabilities: tf.Tensor2D;
}

type PartTensor = 'ids' | 'tokens' | 'probabilities';

/** An open file of the cache. */
interface Part {
  descriptor: number;
  starts: Record<PartTensor, number>;
}

/** Windows of one file: what is lost if the process is killed while it fills the cache. */
const windowsAFile = 16;

/**
 * What a teacher says of fixed windows, on disk: training on them runs no teacher. The folder has
 * `cache.json` (the teacher, data and windows that it is of) and `part-N.safetensors` with `ids`
 * `[windows, window + 1]` I32, `tokens` and `probabilities` `[windows · window, top]` I32 and F16. A part is renamed
 * when it is complete and on the disk, and the fill goes on after the last part.
 */
export class TeacherCache implements WindowSource {
  private epoch = 0;
  private taken = 0;
  private order: Uint32Array;
  private readonly drawn: number[] = [];

  private constructor(
    private readonly files: readonly Part[],
    private readonly sizes: { window: number; top: number; windows: number; vocab: number; seed: number },
  ) {
    this.order = this.orderOf(0);
  }

  /**
   * Opens the cache, and fills what is missing of it. `identity` names the teacher, its data and how
   * windows are made of it; `teacher` computes the logits `[count · window, vocab]` of windows' inputs.
   * The caller closes the cache.
   * @throws bad-request if the folder's cache is of another teacher, data, windows or top
   */
  static async open(
    options: TeacherCacheOptions,
    identity: Record<string, unknown> & { window: number; seed: number },
    windows: WindowSource,
    vocab: number,
    teacher: (inputs: tf.Tensor1D) => tf.Tensor2D,
    context: { signal?: AbortSignal; onProgress?: OnProgress },
  ): Promise<TeacherCache> {
    const { folder } = options;
    const { window, seed } = identity;
    const top = Math.min(options.top, vocab);
    const begin = windows.state();
    const files: Part[] = [];
    try {
      await mkdir(folder, { recursive: true });
      await checkIdentity(folder, { version: 1, ...identity, top, windows: options.windows });
      for (let done = 0; done < options.windows; done += windowsAFile) {
        const count = Math.min(windowsAFile, options.windows - done);
        const path = join(folder, `part-${done / windowsAFile}.safetensors`);
        const ids = Array.from({ length: count }, () => windows.next());
        let descriptor = openIfThere(path);
        if (descriptor === undefined) {
          throwIfCancelled(context.signal);
          await writePart(path, ids, top, teacher, context.signal);
          descriptor = openSync(path, 'r');
        }
        files.push({ descriptor, starts: tensorStarts(descriptor, path) });
        const progress = { phase: 'teacher cache', done: done + count, total: options.windows };
        context.onProgress?.({ ...progress, unit: 'windows' });
      }
      return new TeacherCache(files, { window, top, windows: options.windows, vocab, seed });
    } catch (error) {
      for (const { descriptor } of files) closeSync(descriptor);
      throw asOneBitError(error, folder);
    } finally {
      windows.restore(begin);
    }
  }

  /** The next window of the cache: `window + 1` ids. */
  next(): Int32Array {
    if (this.taken === this.sizes.windows) {
      this.epoch++;
      this.taken = 0;
      this.order = this.orderOf(this.epoch);
    }
    const index = this.order[this.taken++] ?? 0;
    this.drawn.push(index);
    return new Int32Array(this.read(index, 'ids').buffer);
  }

  /** What the teacher says of the last `count` windows that were drawn. The caller disposes it. */
  target(count: number): CachedTarget {
    const indices = this.drawn.splice(0).slice(-count);
    const { window, top, vocab } = this.sizes;
    const tokens = new Int32Array(count * window * top);
    const probabilities = new Float32Array(count * window * top);
    indices.forEach((index, i) => {
      tokens.set(new Int32Array(this.read(index, 'tokens').buffer), i * window * top);
      widenFloats(this.read(index, 'probabilities'), 'F16', probabilities, i * window * top);
    });
    // Rounding to fp16 may bring the sum of a row above 1; without a tail it is 1.
    for (let row = 0; row < count * window; row++) {
      const own = probabilities.subarray(row * top, (row + 1) * top);
      const sum = own.reduce((total, p) => total + p, 0);
      if (sum > 1 || top === vocab) own.forEach((p, i) => (own[i] = p / sum));
    }
    return {
      tokens: tf.tensor2d(tokens, [count * window, top], 'int32'),
      probabilities: tf.tensor2d(probabilities, [count * window, top]),
    };
  }

  state(): WindowState {
    return { epoch: this.epoch, taken: this.taken, turn: 0, lanes: [], random: [0, 0, 0, 0] };
  }

  restore({ epoch, taken }: WindowState): void {
    this.epoch = epoch;
    this.taken = taken;
    this.order = this.orderOf(epoch);
  }

  close(): void {
    for (const { descriptor } of this.files) closeSync(descriptor);
  }

  private orderOf(epoch: number): Uint32Array {
    return new Random(this.sizes.seed, `cache epoch ${epoch}`).permutation(this.sizes.windows);
  }

  private read(index: number, what: PartTensor): Uint8Array {
    const file = this.files[Math.floor(index / windowsAFile)];
    if (file === undefined) throw new Error(`The cache has no window ${index}.`);
    const { window, top } = this.sizes;
    const length = { ids: 4 * (window + 1), tokens: 4 * window * top, probabilities: 2 * window * top }[what];
    const bytes = new Uint8Array(length);
    const position = file.starts[what] + (index % windowsAFile) * length;
    if (readSync(file.descriptor, bytes, 0, length, position) !== length) {
      throw new OneBitError('bad-file', `A part of the teacher cache is cut short: delete it and run again.`);
    }
    return bytes;
  }
}

/** A hash of all weights: the same files elsewhere are the same teacher. */
export async function fingerprintOf(teacher: Parameters): Promise<string> {
  const hash = createHash('sha256');
  for (const [name, variable] of [...teacher].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const values = (await variable.data()) as Float32Array;
    hash.update(`${name} ${variable.shape.join('×')}`);
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest('hex');
}

async function checkIdentity(folder: string, identity: Record<string, unknown>): Promise<void> {
  const file = join(folder, 'cache.json');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return writeWhole(file, `${JSON.stringify(identity, null, 2)}\n`);
  let before: Record<string, unknown> = {};
  try {
    before = JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new OneBitError('bad-file', `${file} is damaged: delete ${folder} and run again.`, {
      cause: error,
    });
  }
  for (const [field, value] of Object.entries(JSON.parse(JSON.stringify(identity)) as object)) {
    if (JSON.stringify(before[field]) === JSON.stringify(value)) continue;
    throw new OneBitError(
      'bad-request',
      `${folder} is a cache with ${field} = ${JSON.stringify(before[field])}, this run needs ` +
        `${JSON.stringify(value)}: name another folder, or delete it.`,
    );
  }
}

async function writePart(
  path: string,
  windows: readonly Int32Array[],
  top: number,
  teacher: (inputs: tf.Tensor1D) => tf.Tensor2D,
  signal: AbortSignal | undefined,
): Promise<void> {
  const window = (windows[0]?.length ?? 1) - 1;
  const rows = windows.length * window;
  const tokens = new Int32Array(rows * top);
  const probabilities = new Float32Array(rows * top);
  for (const [i, ids] of windows.entries()) {
    throwIfCancelled(signal);
    const softmax = tf.tidy(() => tf.softmax(teacher(tf.tensor1d(ids.slice(0, window), 'int32'))));
    const values = (await softmax.data()) as Float32Array;
    const vocab = values.length / window;
    softmax.dispose();
    for (let row = 0; row < window; row++) {
      const at = (i * window + row) * top;
      const own = values.subarray(row * vocab, (row + 1) * vocab);
      keepLargest(own, tokens.subarray(at, at + top), probabilities.subarray(at, at + top));
    }
  }
  const bytesOf = (array: Int32Array): Uint8Array => new Uint8Array(array.buffer);
  const ids = new Int32Array(windows.length * (window + 1));
  windows.forEach((own, i) => ids.set(own, i * (window + 1)));
  const partial = `${path}.partial`;
  try {
    // Of a process that was killed.
    await rm(partial, { force: true });
    await writeSafetensors(partial, [
      { name: 'ids', dtype: 'I32', shape: [windows.length, window + 1], bytes: () => bytesOf(ids) },
      { name: 'tokens', dtype: 'I32', shape: [rows, top], bytes: () => bytesOf(tokens) },
      {
        name: 'probabilities',
        dtype: 'F16',
        shape: [rows, top],
        bytes: () => floatsToHalfBytes(probabilities, 'probabilities'),
      },
    ]);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** The largest of `values` with their places, largest first; of equal ones those that come first. */
function keepLargest(values: Float32Array, places: Int32Array, largest: Float32Array): void {
  const count = places.length;
  let kept = 0;
  values.forEach((value, place) => {
    if (kept === count && value <= (largest[count - 1] ?? 0)) return;
    let at = kept < count ? kept++ : count - 1;
    for (; at > 0 && (largest[at - 1] ?? 0) < value; at--) {
      largest[at] = largest[at - 1] ?? 0;
      places[at] = places[at - 1] ?? 0;
    }
    largest[at] = value;
    places[at] = place;
  });
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Where each tensor of a part begins, in bytes from the file's start. */
function tensorStarts(descriptor: number, path: string): Record<PartTensor, number> {
  try {
    const length = Buffer.alloc(8);
    readSync(descriptor, length, 0, 8, 0);
    const header = Buffer.alloc(Number(length.readBigUInt64LE()));
    readSync(descriptor, header, 0, header.length, 8);
    const start = z.object({ data_offsets: z.tuple([z.number(), z.number()]) });
    const places = z
      .object({ ids: start, tokens: start, probabilities: start })
      .parse(JSON.parse(header.toString('utf8')));
    const of = (name: PartTensor): number => 8 + header.length + places[name].data_offsets[0];
    return { ids: of('ids'), tokens: of('tokens'), probabilities: of('probabilities') };
  } catch (error) {
    throw new OneBitError('bad-file', `${path} is damaged: delete it and run again.`, { cause: error });
  }
}
