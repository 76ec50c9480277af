import { DataFile } from '../../checkpoint/data-file.ts';
import type { TensorRow, TensorStatistics } from '../../protocol/checkpoint-file.ts';
import { OneBitError } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { storedValues } from './stored-values.ts';

/** Read at once: small, so that completions come in between. */
const partBytes = 1 << 20;
/** Milliseconds between two reports. */
const reportEvery = 100;
/** Powers of two that a number may have, from the least subnormal double on. */
const leastPower = -1074;
const powers = 2100;

/**
 * Statistics of one tensor, read in parts of 1 MB: memory does not grow with the tensor. Mean and spread are put together
 * from those of the parts (Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample
 * variances, 1979), each computed about its own mean, so that a small spread about a large mean keeps its digits.
 * @throws unsupported (a type whose numbers are not read), bad-file (the file has become shorter), cancelled
 */
export async function tensorStatistics(
  path: string,
  tensor: TensorRow,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<TensorStatistics> {
  const stored = storedValues(tensor.type);
  if (stored === undefined) {
    throw new OneBitError(
      'unsupported',
      `${tensor.name} has the type ${tensor.type}, whose numbers OneBit does not read. F16, F32, BF16, integers, Q8_0, Q4_0, Q4_K and Q6_K can be looked at.`,
    );
  }
  const file = await DataFile.open(path);
  try {
    const sums = new Sums();
    const bits = tensor.type === 'U8' || tensor.type === 'I8' ? new BitCount() : undefined;
    const whole = Math.floor(partBytes / stored.blockBytes) * stored.blockBytes;
    const buffer = new Uint8Array(Math.min(whole, tensor.bytes));
    const values = new Float64Array((buffer.byteLength / stored.blockBytes) * stored.blockValues);
    let reported = performance.now();
    for (let start = 0; start < tensor.bytes; start += whole) {
      const part = buffer.subarray(0, Math.min(whole, tensor.bytes - start));
      await file.read(part, tensor.offset + start, signal);
      const count = (part.byteLength / stored.blockBytes) * stored.blockValues;
      stored.convert(part, values);
      sums.add(values.subarray(0, count));
      bits?.add(part);
      if (performance.now() - reported >= reportEvery) {
        reported = performance.now();
        onProgress?.({
          phase: 'statistics',
          done: start + part.byteLength,
          total: tensor.bytes,
          unit: 'bytes',
          message: tensor.name.slice(0, 200),
        });
      }
      // A file in the page cache answers without a pause: whoever waits for the event loop goes first.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return sums.result(tensor.name, bits?.share);
  } finally {
    await file.close();
  }
}

class Sums {
  private count = 0;
  private finite = 0;
  private nan = 0;
  private zeros = 0;
  private negative = 0;
  private min = Infinity;
  private max = -Infinity;
  private mean = 0;
  /** Sum of squared distances from the mean. */
  private spread = 0;
  private readonly below = new Float64Array(powers);
  private readonly above = new Float64Array(powers);

  add(values: Float64Array): void {
    let sum = 0;
    let finite = 0;
    for (const value of values) {
      if (!Number.isFinite(value)) {
        if (Number.isNaN(value)) this.nan++;
        continue;
      }
      finite++;
      sum += value;
      if (value < this.min) this.min = value;
      if (value > this.max) this.max = value;
      if (value === 0) this.zeros++;
      else if (value < 0) {
        this.negative++;
        countAt(this.below, powerOf(-value));
      } else countAt(this.above, powerOf(value));
    }
    this.count += values.length;
    if (finite === 0) return;
    const mean = sum / finite;
    let spread = 0;
    for (const value of values) if (Number.isFinite(value)) spread += (value - mean) ** 2;
    const both = this.finite + finite;
    const distance = mean - this.mean;
    this.spread += spread + (distance * distance * this.finite * finite) / both;
    this.mean += (distance * finite) / both;
    this.finite = both;
  }

  result(name: string, bitShare: number | undefined): TensorStatistics {
    const { count, finite, nan, zeros, negative, mean } = this;
    const variance = finite === 0 ? 0 : this.spread / finite;
    return {
      name,
      count,
      finite,
      nan,
      infinite: count - finite - nan,
      zeros,
      negative,
      min: finite === 0 ? 0 : this.min,
      max: finite === 0 ? 0 : this.max,
      mean,
      std: Math.sqrt(variance),
      rms: Math.sqrt(variance + mean * mean),
      magnitudes: this.magnitudes(),
      bitShare,
    };
  }

  private magnitudes(): TensorStatistics['magnitudes'] {
    const used = (i: number) => this.below[i] !== 0 || this.above[i] !== 0;
    let first = 0;
    let last = powers - 1;
    while (first < powers && !used(first)) first++;
    while (last >= first && !used(last)) last--;
    return Array.from({ length: last - first + 1 }, (_, i) => ({
      power: first + i + leastPower,
      negative: this.below[first + i] ?? 0,
      positive: this.above[first + i] ?? 0,
    }));
  }
}

function countAt(counts: Float64Array, power: number): void {
  counts[power - leastPower] = (counts[power - leastPower] as number) + 1;
}

const asDouble = new Float64Array(1);
const asWords = new Uint32Array(asDouble.buffer);

/** The whole p with 2^p ≤ value < 2^(p + 1), from the exponent's bits. @param value positive and finite */
function powerOf(value: number): number {
  asDouble[0] = value;
  const exponent = (asWords[1] as number) >>> 20;
  // Subnormal doubles have no exponent of their own.
  return exponent === 0 ? Math.max(Math.floor(Math.log2(value)), leastPower) : exponent - 1023;
}

class BitCount {
  private ones = 0;
  private bits = 0;

  add(bytes: Uint8Array): void {
    for (const byte of bytes) this.ones += onesOf[byte] as number;
    this.bits += 8 * bytes.byteLength;
  }

  get share(): number {
    return this.bits === 0 ? 0 : this.ones / this.bits;
  }
}

const onesOf = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);
