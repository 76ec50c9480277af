import { afterAll, beforeAll, describe } from 'vitest';
import { halfBits } from '../../../../server/checkpoint/float-conversion.ts';
import type { ModelConfig } from '../../../../server/checkpoint/model-config.ts';
import { maxRows, signWords, type GpuEngineShape } from '../../../../server/engine/webgpu/buffer-plan.ts';
import {
  takesIntegers,
  type KernelName,
  type KernelVariant,
} from '../../../../server/engine/webgpu/kernel-source.ts';
import type { Dispatch } from '../../../../server/engine/webgpu/step-program.ts';
import { chooseAdapter, optionalFeatures, type OptionalFeature } from '../../../../server/gpu/adapters.ts';
import type { GpuDevice } from '../../../../server/gpu/device.ts';
import { noSoftwareAdapter, softwareDevice, softwareGpu } from '../../../reference/software-adapter.ts';
import { runDispatch } from '../../../reference/webgpu-run.ts';

// Inputs that fill no word of 32 signs, one kv head, odd vocabularies: no tile and no lane count divides them.
export const config: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 72,
  intermediateSize: 104,
  layers: 2,
  heads: 3,
  kvHeads: 1,
  headDim: 24,
  vocabSize: 1531,
  maxPositions: 300,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieEmbeddings: false,
  attentionBias: true,
  mlpBias: true,
  layerNormEps: 1e-5,
  bosTokenId: 1,
  eosTokenIds: [2],
};
export const shape: GpuEngineShape = { config, contextLength: 300, sequences: 2, exact: true };

let seed = 7;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed / 2 ** 32) * 2 - 1;
};
export const vector = (n: number, scale = 1, offset = 0) =>
  Array.from({ length: n }, () => Math.fround(random() * scale + offset));
export const matrix = (rows: number, n: number) => Array.from({ length: rows }, () => vector(n));
export const flat = (rows: number[][]) => Float32Array.from(rows.flat());

/** x ⊙ g as one variant of the kernels keeps it: f32, or whole numbers of 16 bits with a scale for each word of 32 inputs. */
export class ScaledLayout {
  constructor(private readonly integers: boolean) {}

  /** The contents of a buffer, x ⊙ g of each row of each copy where the products look for it. */
  write(copies: number[][][], inSize: number): Float32Array | Uint32Array {
    const bytes = new DataView(new ArrayBuffer(copies.length * maxRows * signWords(inSize) * 128));
    copies.forEach((rows, copy) =>
      rows.forEach((row, r) => {
        for (let first = 0; first < inSize; first += 32) {
          const word = row.slice(first, first + 32);
          if (this.integers) this.writeWord(bytes, word, copy, r, first, inSize);
          else
            word.forEach((value, i) => bytes.setFloat32(this.place(copy, r, first + i, inSize), value, true));
        }
      }),
    );
    return this.integers ? new Uint32Array(bytes.buffer) : new Float32Array(bytes.buffer);
  }

  read(bytes: Uint8Array, copy: number, row: number, inSize: number): number[] {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: inSize }, (_, k) => {
      const at = this.place(copy, row, k, inSize);
      if (!this.integers) return view.getFloat32(at, true);
      const low = view.getInt8(at + this.planeBytes(inSize));
      return (256 * view.getInt8(at) + low) * view.getFloat32(this.lastOf(copy, row, k, inSize), true);
    });
  }

  /** The sum that stands beside each word has to be that of its numbers: whether it is, for every word of a row. */
  sumsAreRight(bytes: Uint8Array, copy: number, row: number, inSize: number): boolean {
    if (!this.integers) return true;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: signWords(inSize) }, (_, word) => {
      let sum = 0;
      for (let k = 32 * word; k < 32 * word + 32; k++) {
        const at = this.place(copy, row, k, inSize);
        sum += 256 * view.getInt8(at) + view.getInt8(at + this.planeBytes(inSize));
      }
      return sum === view.getInt32(this.lastOf(copy, row, 32 * word, inSize) + 4, true);
    }).every(Boolean);
  }

  private writeWord(
    bytes: DataView,
    word: number[],
    copy: number,
    row: number,
    first: number,
    inSize: number,
  ): void {
    const scale = Math.fround(Math.max(...word.map(Math.abs)) / 32512);
    const numbers = word.map((value) => Math.round(value / scale));
    numbers.forEach((number, i) => {
      const at = this.place(copy, row, first + i, inSize);
      const high = Math.floor((number + 128) / 256);
      bytes.setInt8(at, high);
      bytes.setInt8(at + this.planeBytes(inSize), number - 256 * high);
    });
    const last = this.lastOf(copy, row, first, inSize);
    bytes.setFloat32(last, scale, true);
    bytes.setInt32(
      last + 4,
      numbers.reduce((a, b) => a + b, 0),
      true,
    );
  }

  /** The byte at which an input's number is, or its high byte. */
  private place(copy: number, row: number, k: number, inSize: number): number {
    const words = signWords(inSize);
    const word = Math.floor(k / 32);
    if (!this.integers) {
      return 4 * ((((copy * maxRows + row) * 8 + Math.floor((k % 32) / 4)) * words + word) * 4 + (k % 4));
    }
    const step = Math.floor((k % 8) / 4);
    return 16 * (((copy * maxRows + row) * 5 + step) * words + word) + 4 * (k % 4) + Math.floor((k % 32) / 8);
  }

  /** From high bytes to low ones. */
  private planeBytes(inSize: number): number {
    return 16 * 2 * signWords(inSize);
  }

  private lastOf(copy: number, row: number, k: number, inSize: number): number {
    const words = signWords(inSize);
    return 16 * (((copy * maxRows + row) * 5 + 4) * words + Math.floor(k / 32));
  }
}

export const floats = (bytes: Uint8Array) => new Float32Array(bytes.buffer);
export const words = (bytes: Uint8Array) => new Uint32Array(bytes.buffer);
export const halves = (values: number[]) => {
  const bits = Uint16Array.from(values, halfBits);
  return new Uint32Array(bits.buffer);
};
export const rounded = (values: number[]) => {
  const table = new Float16Values();
  return values.map((value) => table.of(halfBits(value)));
};

/** The value of binary16 bits, by its definition. */
export class Float16Values {
  of(bits: number): number {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return bits & 0x8000 ? -size : size;
  }
}

/** Largest difference, relative to the largest of the reference. */
export function difference(actual: ArrayLike<number>, expected: number[]): number {
  const scale = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs((actual[i] ?? NaN) - value) / scale));
}

/** The kernels' variants, with the features that they need. Tolerances are of what a variant rounds. */
const variants: {
  name: string;
  variant: KernelVariant;
  needs: OptionalFeature[];
  cacheTolerance: number;
  /** Of x ⊙ g, and of products of it. */
  scaledTolerance: number;
}[] = [
  {
    name: 'plain, f32 cache',
    variant: { subgroups: false, halfCache: false, integerProducts: false },
    needs: [],
    cacheTolerance: 1e-4,
    scaledTolerance: 1e-4,
  },
  {
    name: 'subgroups, fp16 cache, integer products',
    variant: { subgroups: true, halfCache: true, integerProducts: true },
    needs: ['subgroups'],
    cacheTolerance: 2e-3,
    scaledTolerance: 1e-4,
  },
];

const adapterFeatures =
  noSoftwareAdapter === undefined ? (await chooseAdapter(softwareDevice)).info.features : [];

/** What a test of one variant has. */
export interface KernelTest {
  variant: KernelVariant;
  /** Where this dispatch, of the variant, keeps its x ⊙ g. */
  scaled(dispatch: Dispatch): ScaledLayout;
  /** Relative to the largest of a result: of what is stored in the KV cache, and of what x ⊙ g is in. */
  cacheTolerance: number;
  scaledTolerance: number;
  run(
    dispatch: Dispatch,
    contents: Record<string, Float32Array | Uint32Array>,
    rows: number,
    positions?: number,
  ): Promise<(name: string) => Uint8Array>;
}

/** The dispatch of a program's `at`-th use of a kernel. */
export function find(program: Dispatch[], kernel: KernelName, at = 0): Dispatch {
  const found = program.filter((dispatch) => dispatch.kernel === kernel)[at];
  if (found === undefined) throw new Error(`The program has no ${kernel}.`);
  return found;
}

/** Tests for each variant that the software adapter has the features for; the others are skipped, and say why. */
export function describeKernels(name: string, tests: (test: KernelTest) => void): void {
  for (const { name: variantName, variant, needs, ...tolerances } of variants) {
    const lacks =
      noSoftwareAdapter === undefined ? needs.filter((each) => !adapterFeatures.includes(each)) : [];
    const reason = lacks.length === 0 ? '' : `: skipped, the adapter has no ${lacks.join(' and no ')}`;
    describe.skipIf(noSoftwareAdapter !== undefined || lacks.length > 0)(
      `${name} (${variantName})${reason}`,
      () => {
        let gpu: GpuDevice;
        beforeAll(async () => {
          gpu = await softwareGpu({
            unchecked: true,
            without: optionalFeatures.filter((feature) => !needs.includes(feature)),
          });
        });
        afterAll(() => gpu.destroy());
        tests({
          variant,
          scaled: ({ constants }) => new ScaledLayout(variant.integerProducts && takesIntegers(constants)),
          ...tolerances,
          run: (...args) => runDispatch(gpu, variant, ...args),
        });
      },
    );
  }
}
