import { expect, it } from 'vitest';
import { groupShape, maxRows, signWords } from '../../../../server/engine/webgpu/buffer-plan.ts';
import { headProgram, layersProgram } from '../../../../server/engine/webgpu/step-program.ts';
import * as reference from '../../../reference/webgpu-kernels.ts';
import {
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

const { hiddenSize, vocabSize } = config;

describeKernels('the WGSL products', ({ run, scaled, scaledTolerance }) => {
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
          [scaledName]: scaled(dispatch).write(
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
      expect(difference(floats(result('raw')), expected)).toBeLessThan(scaledTolerance);
    }
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
});
