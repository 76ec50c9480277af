import { expect, it } from 'vitest';
import { attentionChunks, maxRows } from '../../../../server/engine/webgpu/buffer-plan.ts';
import { layersProgram } from '../../../../server/engine/webgpu/step-program.ts';
import * as reference from '../../../reference/webgpu-kernels.ts';
import {
  Float16Values,
  config,
  describeKernels,
  difference,
  find,
  flat,
  floats,
  halves,
  matrix,
  rounded,
  shape,
  vector,
} from './kernel-fixture.ts';

const { hiddenSize, intermediateSize, heads, kvHeads } = config;

describeKernels(
  'the WGSL kernels between the products',
  ({ run, variant, scaled, cacheTolerance, scaledTolerance }) => {
    it('embedding and the first RMSNorm', async () => {
      const rows = 3;
      const table = matrix(rows, hiddenSize).map(rounded);
      const gain = vector(hiddenSize, 0.2, 1);
      const g = [0, 1, 2].map(() => vector(hiddenSize, 0.5, 1));
      const dispatch = find(layersProgram(shape, 1), 'embed-norm');
      const layout = scaled(dispatch);
      const result = await run(
        dispatch,
        {
          embedded: halves(table.flat()),
          hidden: new Float32Array(rows * hiddenSize),
          'layers.0.inputNorm': Float32Array.from(gain),
          'layers.0.qkv.g': flat(g),
          scaledHidden: layout.write([[], [], []], hiddenSize),
        },
        rows,
      );
      expect([...floats(result('hidden'))]).toEqual(table.flat());
      table.forEach((row, r) => {
        const normed = reference.rmsNorm(row, gain, config.rmsNormEps);
        g.forEach((each, copy) => {
          const expected = normed.map((value, k) => value * (each[k] ?? 0));
          const actual = layout.read(result('scaledHidden'), copy, r, hiddenSize);
          expect(difference(actual, expected)).toBeLessThan(scaledTolerance);
          expect(layout.sumsAreRight(result('scaledHidden'), copy, r, hiddenSize)).toBe(true);
        });
      });
    });

    // Words of 32 inputs that span two heads, that do not, and heads that are no whole vectors.
    it.each([24, 32, 20])(
      'LayerNorm, bias, RoPE, the KV cache, and attention: heads of %d',
      async (headDim) => {
        const shaped = { ...shape, config: { ...config, headDim }, exact: !variant.halfCache };
        const qSize = heads * headDim;
        const kvSize = kvHeads * headDim;
        const program = layersProgram(shaped, 1);
        // Positions within, at and beyond the blocks of 64; the sequences interleave.
        const places = [0, 1, 63, 64, 299].map((position, i) => ({ position, slot: i % 2 }));
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
        const cacheOf = (values: number[]) =>
          variant.halfCache ? halves(values) : Float32Array.from(values);
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
          expect(difference(keys.slice(at, at + kvSize), k)).toBeLessThan(cacheTolerance);
          expect(
            difference(values.slice(at, at + kvSize), part(qSize + kvSize, qSize + 2 * kvSize)),
          ).toBeLessThan(cacheTolerance);
        });

        const g = vector(qSize, 0.5, 1);
        const caches = {
          'layers.0.keys.0': new Uint32Array(first('layers.0.keys.0').buffer),
          'layers.0.values.0': new Uint32Array(first('layers.0.values.0').buffer),
        };
        const whole = find(program, 'attention');
        const layout = scaled(whole);
        const output = { 'layers.0.o.g': Float32Array.from(g), scaledAttended: layout.write([[]], qSize) };
        const second = await run(whole, { queries, rows: rowsBuffer, ...caches, ...output }, rows);
        // The same in parts, some of them empty.
        const split = layersProgram(shaped, 1, undefined, true);
        const partSize = heads * attentionChunks(shape.contextLength).most * (2 + headDim);
        const parts = await run(
          find(split, 'attention-part'),
          // What an earlier step left there must not be read.
          {
            queries,
            rows: rowsBuffer,
            ...caches,
            attendedParts: new Float32Array(rows * partSize).fill(NaN),
          },
          rows,
          300,
        );
        const merged = await run(
          find(split, 'attention-merge'),
          { attendedParts: floats(parts('attendedParts')), rows: rowsBuffer, ...output },
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
            shaped.config,
          );
          const expected = attended.map((value, k) => value * (g[k] ?? 0));
          for (const result of [second, merged]) {
            const actual = layout.read(result('scaledAttended'), 0, r, qSize);
            expect(difference(actual, expected)).toBeLessThan(scaledTolerance);
            expect(layout.sumsAreRight(result('scaledAttended'), 0, r, qSize)).toBe(true);
          }
        });
      },
    );

    it('LayerNorm, residual and RMSNorm, before a layer and before the lm_head', async () => {
      const rows = 3;
      for (const [at, copies] of [2, 3, 2, 0].entries()) {
        const dispatch = find(layersProgram(shape, 1), 'norm-residual-norm', at);
        const layout = scaled(dispatch);
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
                ? layout.write(
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
          const written = result(scaledName);
          if (copies === 0) {
            expect(difference(floats(written).slice(r * hiddenSize), rms)).toBeLessThan(1e-4);
          }
          g.forEach((each, copy) => {
            const expected = rms.map((value, k) => value * (each[k] ?? 0));
            expect(difference(layout.read(written, copy, r, hiddenSize), expected)).toBeLessThan(
              scaledTolerance,
            );
            expect(layout.sumsAreRight(written, copy, r, hiddenSize)).toBe(true);
          });
        });
      }
    });

    it('LayerNorm and SwiGLU', async () => {
      const rows = 2;
      const raw = matrix(rows, 2 * intermediateSize);
      const bias = vector(2 * intermediateSize, 0.1);
      const g = vector(intermediateSize, 0.5, 1);
      const dispatch = find(layersProgram(shape, 1), 'norm-swiglu');
      const layout = scaled(dispatch);
      const result = await run(
        dispatch,
        {
          raw: flat(raw),
          'layers.0.gateUp.bias': Float32Array.from(bias),
          'layers.0.down.g': Float32Array.from(g),
          scaledMlp: layout.write([[]], intermediateSize),
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
        const actual = layout.read(result('scaledMlp'), 0, r, intermediateSize);
        expect(difference(actual, expected)).toBeLessThan(scaledTolerance);
        expect(layout.sumsAreRight(result('scaledMlp'), 0, r, intermediateSize)).toBe(true);
      });
    });
  },
);
