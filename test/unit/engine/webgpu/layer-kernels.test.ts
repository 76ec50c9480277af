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

const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;

describeKernels(
  'the WGSL kernels between the products',
  ({ run, variant, scaled, cacheTolerance, scaledTolerance }) => {
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
          scaledHidden: scaled.write([[], [], []], hiddenSize),
        },
        rows,
      );
      expect([...floats(result('hidden'))]).toEqual(table.flat());
      table.forEach((row, r) => {
        const normed = reference.rmsNorm(row, gain, config.rmsNormEps);
        g.forEach((each, copy) => {
          const expected = normed.map((value, k) => value * (each[k] ?? 0));
          expect(difference(scaled.read(result('scaledHidden'), copy, r, hiddenSize), expected)).toBeLessThan(
            scaledTolerance,
          );
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
      const output = { 'layers.0.o.g': Float32Array.from(g), scaledAttended: scaled.write([[]], qSize) };
      const second = await run(
        find(program, 'attention'),
        { queries, rows: rowsBuffer, ...caches, ...output },
        rows,
      );
      // The same in parts, some of them empty.
      const split = layersProgram({ ...shape, exact: !variant.halfCache }, 1, undefined, true);
      const partSize = heads * attentionChunks * (2 + headDim);
      const parts = await run(
        find(split, 'attention-part'),
        { queries, rows: rowsBuffer, ...caches, attendedParts: new Float32Array(rows * partSize) },
        rows,
      );
      const merged = await run(
        find(split, 'attention-merge'),
        { attendedParts: floats(parts('attendedParts')), ...output },
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
        for (const result of [second, merged]) {
          expect(difference(scaled.read(result('scaledAttended'), 0, r, qSize), expected)).toBeLessThan(
            scaledTolerance,
          );
        }
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
                ? scaled.write(
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
            expect(difference(scaled.read(written, copy, r, hiddenSize), expected)).toBeLessThan(
              scaledTolerance,
            );
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
          scaledMlp: scaled.write([[]], intermediateSize),
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
        expect(difference(scaled.read(result('scaledMlp'), 0, r, intermediateSize), expected)).toBeLessThan(
          scaledTolerance,
        );
      });
    });
  },
);
