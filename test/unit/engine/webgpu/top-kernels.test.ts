import { expect, it } from 'vitest';
import { maxTop } from '../../../../server/engine/webgpu/buffer-plan.ts';
import { topProgram } from '../../../../server/engine/webgpu/step-program.ts';
import * as reference from '../../../reference/webgpu-kernels.ts';
import { config, describeKernels, flat, floats, matrix, shape, words } from './kernel-fixture.ts';

describeKernels('the WGSL search for the most likely tokens', ({ run, variant }) => {
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
});
