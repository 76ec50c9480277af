import { expect, it } from 'vitest';
import { attentionChunks, splitPositions } from '../../../../server/engine/webgpu/buffer-plan.ts';
import { layersProgram } from '../../../../server/engine/webgpu/step-program.ts';
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

const contextLength = 2100;
const { heads, kvHeads, headDim } = config;
const chunks = attentionChunks(contextLength);

describeKernels('attention over a long context', ({ run, variant, scaled, scaledTolerance }) => {
  it('is the same in parts of more than one block, whatever the last one has', async () => {
    const long = { ...shape, contextLength, exact: !variant.halfCache };
    const program = layersProgram(long, 8, undefined, true);
    // Parts of two blocks: nine of them, the last with one position; and the whole context. Beside them a short row.
    expect(chunks.positions).toBe(128);
    const places = [1025, 3, 2100].map((count, i) => ({ count, slot: i % 2 }));
    expect(places[0]?.count).toBeGreaterThan(splitPositions);
    const rows = places.length;
    const [qSize, kvSize] = [heads * headDim, kvHeads * headDim];
    const queries = matrix(rows, qSize);
    // Scores of a few units: parts have other maxima, and none of them wins alone.
    const keys = matrix(2 * contextLength, kvSize).map((row) => rounded(row.map((v) => 4 * v)));
    const values = matrix(2 * contextLength, kvSize).map(rounded);
    const cacheOf = (of: number[][]) => (variant.halfCache ? halves(of.flat()) : flat(of));
    const g = vector(qSize, 0.5, 1);
    const rowsBuffer = Uint32Array.from(places.flatMap(({ count, slot }) => [count - 1, slot, 0, 0]));
    const parts = await run(
      find(program, 'attention-part'),
      {
        queries: flat(queries),
        rows: rowsBuffer,
        'layers.0.keys.0': cacheOf(keys),
        'layers.0.values.0': cacheOf(values),
        // What an earlier step left there must not be read.
        attendedParts: new Float32Array(rows * heads * chunks.most * (2 + headDim)).fill(NaN),
      },
      rows,
      2100,
    );
    const merge = find(program, 'attention-merge');
    const layout = scaled(merge);
    const merged = await run(
      merge,
      {
        attendedParts: floats(parts('attendedParts')),
        rows: rowsBuffer,
        'layers.0.o.g': Float32Array.from(g),
        scaledAttended: layout.write([[]], qSize),
      },
      rows,
    );
    places.forEach(({ count, slot }, r) => {
      const rowsOf = (cache: number[][]) => cache.slice(slot * contextLength, slot * contextLength + count);
      const attended = reference.attention(queries[r] ?? [], rowsOf(keys), rowsOf(values), config);
      const expected = attended.map((value, k) => value * (g[k] ?? 0));
      expect(difference(layout.read(merged('scaledAttended'), 0, r, qSize), expected)).toBeLessThan(
        scaledTolerance,
      );
    });
  });
});
