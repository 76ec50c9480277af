import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { halfBits } from '../../../../server/checkpoint/float-conversion.ts';
import type { ModelConfig } from '../../../../server/checkpoint/model-config.ts';
import {
  groupShape,
  maxRows,
  maxTop,
  signWords,
  type GpuEngineShape,
} from '../../../../server/engine/webgpu/buffer-plan.ts';
import type { KernelName, KernelVariant } from '../../../../server/engine/webgpu/kernel-source.ts';
import {
  headProgram,
  layersProgram,
  topProgram,
  type Dispatch,
} from '../../../../server/engine/webgpu/step-program.ts';
import type { GpuDevice } from '../../../../server/gpu/device.ts';
import { noSoftwareAdapter, softwareGpu } from '../../../reference/software-adapter.ts';
import * as reference from '../../../reference/webgpu-kernels.ts';
import { runDispatch } from '../../../reference/webgpu-run.ts';

// Inputs that fill no word of 32 signs, one kv head, odd vocabularies: no tile and no lane count divides them.
const config: ModelConfig = {
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
const shape: GpuEngineShape = { config, contextLength: 300, sequences: 2, exact: true };
const { hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabSize } = config;

let seed = 7;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed / 2 ** 32) * 2 - 1;
};
const vector = (n: number, scale = 1, offset = 0) =>
  Array.from({ length: n }, () => Math.fround(random() * scale + offset));
const matrix = (rows: number, n: number) => Array.from({ length: rows }, () => vector(n));
const flat = (rows: number[][]) => Float32Array.from(rows.flat());

/** x ⊙ g of each copy, where the products look for it. */
function scaledInputs(copies: number[][][], inSize: number): Float32Array {
  const words = signWords(inSize);
  const result = new Float32Array(copies.length * maxRows * words * 32);
  copies.forEach((rows, copy) =>
    rows.forEach((row, r) =>
      row.forEach((value, k) => {
        result[scaledAt(copy, r, k, words)] = value;
      }),
    ),
  );
  return result;
}
function scaledAt(copy: number, row: number, k: number, words: number): number {
  return (((copy * maxRows + row) * 8 + Math.floor((k % 32) / 4)) * words + Math.floor(k / 32)) * 4 + (k % 4);
}
function scaledRow(values: Float32Array, copy: number, row: number, inSize: number): number[] {
  return Array.from({ length: inSize }, (_, k) => values[scaledAt(copy, row, k, signWords(inSize))] ?? NaN);
}

const floats = (bytes: Uint8Array) => new Float32Array(bytes.buffer);
const words = (bytes: Uint8Array) => new Uint32Array(bytes.buffer);
const halves = (values: number[]) => {
  const bits = Uint16Array.from(values, halfBits);
  return new Uint32Array(bits.buffer);
};
const rounded = (values: number[]) => {
  const table = new Float16Values();
  return values.map((value) => table.of(halfBits(value)));
};

/** The value of binary16 bits, by its definition. */
class Float16Values {
  of(bits: number): number {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return bits & 0x8000 ? -size : size;
  }
}

/** Largest difference, relative to the largest of the reference. */
function difference(actual: ArrayLike<number>, expected: number[]): number {
  const scale = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs((actual[i] ?? NaN) - value) / scale));
}

const variants: { name: string; variant: KernelVariant; tolerance: number }[] = [
  { name: 'plain, f32 cache', variant: { subgroups: false, halfCache: false }, tolerance: 1e-4 },
  { name: 'subgroups, fp16 cache', variant: { subgroups: true, halfCache: true }, tolerance: 2e-3 },
];

describe.skipIf(noSoftwareAdapter !== undefined).each(variants)(
  'the WGSL kernels ($name)',
  ({ variant, tolerance }) => {
    let gpu: GpuDevice;
    beforeAll(async () => {
      gpu = await softwareGpu();
    });
    afterAll(() => gpu.destroy());

    const run = (dispatch: Dispatch, contents: Record<string, Float32Array | Uint32Array>, rows: number) => {
      if (variant.subgroups && !gpu.features.has('subgroups')) {
        throw new Error(
          'The software adapter has no subgroups: the test of their kernels needs another one.',
        );
      }
      return runDispatch(gpu, variant, dispatch, contents, rows);
    };
    const find = (program: Dispatch[], kernel: KernelName, at = 0): Dispatch => {
      const found = program.filter((dispatch) => dispatch.kernel === kernel)[at];
      if (found === undefined) throw new Error(`The program has no ${kernel}.`);
      return found;
    };

    it.each([1, 2, 4, 8, 'prefill'] as const)('1-bit products of batch %s', async (batch) => {
      const rows = batch === 'prefill' ? 37 : batch;
      const program = layersProgram(shape, batch);
      const kernel = batch === 'prefill' ? 'sign-gemm' : 'sign-gemv';
      // Three linears in one product, and one.
      for (const [at, group] of [
        [0, 'qkv'],
        [3, 'down'],
      ] as const) {
        const { inSize, outs } = groupShape(config, group);
        const out = outs.reduce((a, b) => a + b, 0);
        const x = matrix(rows, inSize);
        const g = outs.map(() => vector(inSize, 0.5, 1));
        const h = vector(out, 0.5, 1);
        const signs = Array.from({ length: out }, () => vector(inSize).map((v) => (v < 0 ? -1 : 1)));
        const packed = new Uint32Array(out * signWords(inSize)).fill(0);
        signs.forEach((row, o) =>
          row.forEach((sign, k) => {
            const word = o * signWords(inSize) + Math.floor(k / 32);
            if (sign < 0) packed[word] = ((packed[word] ?? 0) | (1 << (k % 32))) >>> 0;
          }),
        );
        const dispatch = find(program, kernel, at);
        const [signsName = '', hName = '', scaledName = ''] = dispatch.bindings;
        const result = await run(
          dispatch,
          {
            [signsName]: packed,
            [hName]: Float32Array.from(h),
            [scaledName]: scaledInputs(
              g.map((each) => x.map((row) => row.map((value, k) => value * (each[k] ?? 0)))),
              inSize,
            ),
            raw: new Float32Array(maxRows * out),
          },
          rows,
        );
        let from = 0;
        const parts = outs.map((size, member) => {
          const part = reference.signProduct(
            x,
            signs.slice(from, from + size),
            g[member] ?? [],
            h.slice(from, from + size),
          );
          from += size;
          return part;
        });
        const expected = x.flatMap((_, row) => parts.flatMap((part) => part[row] ?? []));
        expect(difference(floats(result('raw')), expected)).toBeLessThan(1e-4);
      }
    });

    it('embedding and the first RMSNorm', async () => {
      const rows = 3;
      const table = matrix(rows, hiddenSize).map(rounded);
      const gain = vector(hiddenSize, 0.2, 1);
      const g = [0, 1, 2].map(() => vector(hiddenSize, 0.5, 1));
      const result = await run(
        find(layersProgram(shape, 1), 'embed-norm'),
        {
          embedded: halves(table.flat()),
          hidden: new Float32Array(rows * hiddenSize),
          'layers.0.inputNorm': Float32Array.from(gain),
          'layers.0.qkv.g': flat(g),
          scaledHidden: scaledInputs([[], [], []], hiddenSize),
        },
        rows,
      );
      expect([...floats(result('hidden'))]).toEqual(table.flat());
      table.forEach((row, r) => {
        const normed = reference.rmsNorm(row, gain, config.rmsNormEps);
        g.forEach((each, copy) => {
          const expected = normed.map((value, k) => value * (each[k] ?? 0));
          expect(
            difference(scaledRow(floats(result('scaledHidden')), copy, r, hiddenSize), expected),
          ).toBeLessThan(1e-4);
        });
      });
    });

    it('LayerNorm, bias, RoPE and the KV cache, then attention over it', async () => {
      const qSize = heads * headDim;
      const kvSize = kvHeads * headDim;
      const program = layersProgram({ ...shape, exact: !variant.halfCache }, 1);
      // Positions within, at and beyond the blocks of 128; the sequences interleave.
      const places = [0, 1, 127, 128, 299].map((position, i) => ({ position, slot: i % 2 }));
      const rows = places.length;
      const raw = matrix(rows, qSize + 2 * kvSize);
      const bias = vector(qSize + 2 * kvSize, 0.1);
      const turns = Array.from({ length: 300 }, (_, position) =>
        Array.from({ length: headDim / 2 }, (_, i) => {
          const angle = position * config.ropeTheta ** (-(2 * i) / headDim);
          return [Math.cos(angle), Math.sin(angle)];
        }).flat(),
      );
      const pairBytes = variant.halfCache ? 2 : 4;
      const cacheOf = (values: number[]) => (variant.halfCache ? halves(values) : Float32Array.from(values));
      const cached = (bytes: Uint8Array): number[] =>
        variant.halfCache
          ? [...new Uint16Array(bytes.buffer)].map((bits) => new Float16Values().of(bits))
          : [...floats(bytes)];
      const filled = {
        keys: matrix(2 * 300, kvSize).map(rounded),
        values: matrix(2 * 300, kvSize).map(rounded),
      };
      const rowsBuffer = Uint32Array.from(places.flatMap(({ position, slot }) => [position, slot, 0, 0]));
      const first = await run(
        find(program, 'norm-rope-cache'),
        {
          raw: flat(raw),
          'layers.0.qkv.bias': Float32Array.from(bias),
          rows: rowsBuffer,
          turns: flat(turns),
          queries: new Float32Array(rows * qSize),
          'layers.0.keys.0': cacheOf(filled.keys.flat()),
          'layers.0.values.0': cacheOf(filled.values.flat()),
        },
        rows,
      );
      expect(first('layers.0.keys.0').byteLength).toBe(2 * 300 * kvSize * pairBytes);
      const queries = floats(first('queries'));
      const keys = cached(first('layers.0.keys.0'));
      const values = cached(first('layers.0.values.0'));
      places.forEach(({ position, slot }, r) => {
        const row = raw[r] ?? [];
        const part = (from: number, to: number) =>
          reference.layerNorm(row.slice(from, to), config.layerNormEps, bias.slice(from, to));
        const q = reference.rope(part(0, qSize), position, headDim, config.ropeTheta);
        const k = reference.rope(part(qSize, qSize + kvSize), position, headDim, config.ropeTheta);
        const at = (slot * 300 + position) * kvSize;
        expect(difference(queries.slice(r * qSize, (r + 1) * qSize), q)).toBeLessThan(1e-4);
        expect(difference(keys.slice(at, at + kvSize), k)).toBeLessThan(tolerance);
        expect(
          difference(values.slice(at, at + kvSize), part(qSize + kvSize, qSize + 2 * kvSize)),
        ).toBeLessThan(tolerance);
      });

      const g = vector(qSize, 0.5, 1);
      const second = await run(
        find(program, 'attention'),
        {
          queries,
          rows: rowsBuffer,
          'layers.0.keys.0': new Uint32Array(first('layers.0.keys.0').buffer),
          'layers.0.values.0': new Uint32Array(first('layers.0.values.0').buffer),
          'layers.0.o.g': Float32Array.from(g),
          scaledAttended: scaledInputs([[]], qSize),
        },
        rows,
      );
      places.forEach(({ position, slot }, r) => {
        const rowsOf = (cache: number[]) =>
          Array.from({ length: position + 1 }, (_, p) =>
            cache.slice((slot * 300 + p) * kvSize, (slot * 300 + p + 1) * kvSize),
          );
        const attended = reference.attention(
          [...queries.slice(r * qSize, (r + 1) * qSize)],
          rowsOf(keys),
          rowsOf(values),
          config,
        );
        const expected = attended.map((value, k) => value * (g[k] ?? 0));
        expect(difference(scaledRow(floats(second('scaledAttended')), 0, r, qSize), expected)).toBeLessThan(
          1e-4,
        );
      });
    });

    it('LayerNorm, residual and RMSNorm, before a layer and before the lm_head', async () => {
      const rows = 3;
      for (const [at, copies] of [2, 3, 2, 0].entries()) {
        const dispatch = find(layersProgram(shape, 1), 'norm-residual-norm', at);
        const raw = matrix(rows, hiddenSize);
        const hidden = matrix(rows, hiddenSize);
        const bias = vector(hiddenSize, 0.1);
        const gain = vector(hiddenSize, 0.2, 1);
        const g = Array.from({ length: copies }, () => vector(hiddenSize, 0.5, 1));
        const [, biasName = '', , gainName = '', gName = '', scaledName = ''] = dispatch.bindings;
        const result = await run(
          dispatch,
          {
            raw: flat(raw),
            [biasName]: Float32Array.from(bias),
            hidden: flat(hidden),
            ...(copies > 0 ? { [gName]: flat(g) } : {}),
            [gainName]: Float32Array.from(gain),
            [scaledName]:
              copies > 0
                ? scaledInputs(
                    g.map(() => []),
                    hiddenSize,
                  )
                : new Float32Array(maxRows * hiddenSize),
          },
          rows,
        );
        raw.forEach((row, r) => {
          const normed = reference.layerNorm(row, config.layerNormEps, bias);
          const next = normed.map((value, i) => value + (hidden[r]?.[i] ?? 0));
          const inHidden = floats(result('hidden')).slice(r * hiddenSize, (r + 1) * hiddenSize);
          expect(difference(inHidden, next)).toBeLessThan(1e-4);
          const rms = reference.rmsNorm(next, gain, config.rmsNormEps);
          const scaled = floats(result(scaledName));
          if (copies === 0) {
            expect(difference(scaled.slice(r * hiddenSize), rms)).toBeLessThan(1e-4);
          }
          g.forEach((each, copy) => {
            const expected = rms.map((value, k) => value * (each[k] ?? 0));
            expect(difference(scaledRow(scaled, copy, r, hiddenSize), expected)).toBeLessThan(1e-4);
          });
        });
      }
    });

    it('LayerNorm and SwiGLU', async () => {
      const rows = 2;
      const raw = matrix(rows, 2 * intermediateSize);
      const bias = vector(2 * intermediateSize, 0.1);
      const g = vector(intermediateSize, 0.5, 1);
      const result = await run(
        find(layersProgram(shape, 1), 'norm-swiglu'),
        {
          raw: flat(raw),
          'layers.0.gateUp.bias': Float32Array.from(bias),
          'layers.0.down.g': Float32Array.from(g),
          scaledMlp: scaledInputs([[]], intermediateSize),
        },
        rows,
      );
      raw.forEach((row, r) => {
        const part = (from: number) =>
          reference.layerNorm(
            row.slice(from, from + intermediateSize),
            config.layerNormEps,
            bias.slice(from, from + intermediateSize),
          );
        const expected = reference
          .swiglu(part(0), part(intermediateSize))
          .map((value, k) => value * (g[k] ?? 0));
        expect(
          difference(scaledRow(floats(result('scaledMlp')), 0, r, intermediateSize), expected),
        ).toBeLessThan(1e-4);
      });
    });

    it.each([1, 8])('logits of %d wanted rows, the lm_head in pieces', async (batch) => {
      const limit = 2 * hiddenSize * 800;
      const program = headProgram(shape, batch, limit);
      expect(program).toHaveLength(2);
      const head = matrix(vocabSize, hiddenSize).map(rounded);
      const normed = matrix(maxRows, hiddenSize);
      const wanted = Array.from({ length: batch }, (_, i) => (i * 53 + 5) % maxRows);
      let logits: Float32Array = new Float32Array(batch * vocabSize);
      let from = 0;
      for (const dispatch of program) {
        const count = Number(dispatch.constants.TOKENS);
        const result = await run(
          dispatch,
          {
            [dispatch.bindings[0] ?? '']: halves(head.slice(from, from + count).flat()),
            normed: flat(normed),
            wanted: Uint32Array.from(wanted),
            logits,
          },
          batch,
        );
        from += count;
        logits = floats(result('logits'));
      }
      const expected = wanted.flatMap((row) =>
        head.map((token) => token.reduce((sum, value, i) => sum + value * (normed[row]?.[i] ?? 0), 0)),
      );
      expect(difference(logits, expected)).toBeLessThan(1e-4);
    });

    it('the most likely tokens, with equals in order of their ids, and the logarithm of the sum', async () => {
      for (const [vocabulary, count] of [
        [5, 1],
        [1531, 1],
        // More candidates than one pass of the merge takes: slow on a software adapter, so once.
        [variant.subgroups ? 1531 : 17_001, maxTop],
      ] as const) {
        const rows = vocabulary > 2000 ? 1 : 2;
        const other = { ...shape, config: { ...config, vocabSize: vocabulary } };
        const logits = matrix(rows, vocabulary).map((row) =>
          row.map((value) => Math.round(8 * value * 50) / 50),
        );
        const [block, merge] = topProgram(other, count);
        if (block === undefined || merge === undefined) throw new Error('The program has two dispatches.');
        const blocks = Number(block.constants.BLOCKS);
        const found = await run(
          block,
          {
            logits: flat(logits),
            candidates: new Uint32Array(rows * blocks * count * 2),
            topBlocks: new Float32Array(rows * blocks * 2),
          },
          rows,
        );
        const result = await run(
          merge,
          {
            candidates: words(found('candidates')),
            topBlocks: floats(found('topBlocks')),
            top: new Uint32Array(rows * (1 + count) * 2),
          },
          rows,
        );
        const top = result('top');
        logits.forEach((row, r) => {
          const expected = reference.topK(row.map(Math.fround), count);
          const at = r * (1 + count) * 2;
          expect(floats(top)[at]).toBeCloseTo(expected.logSumExp, 4);
          const ids = expected.ids.map((_, i) => words(top)[at + 2 + 2 * i]);
          expect(ids).toEqual(expected.ids);
          const values = expected.ids.map((_, i) => floats(top)[at + 3 + 2 * i]);
          expect(values).toEqual(expected.ids.map((id) => Math.fround(row[id] ?? 0)));
        });
      }
    });
  },
);
