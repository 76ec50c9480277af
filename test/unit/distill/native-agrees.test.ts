import { afterAll, describe, expect, it } from 'vitest';
import { chooseBackend } from '../../../server/distill/backend/choose-backend.ts';
import { tf } from '../../../server/distill/backend/tfjs.ts';
import * as ops from '../../../server/distill/ops/index.ts';
import { nativeAddon, nativeFailure } from '../../../server/native/addon.ts';
import { evaluate, expectAgreement, randomArray } from './gradient-check.ts';
import { opCases } from './op-cases.ts';
import { expectSame, optimized } from './optimizer-agrees.ts';

const addon = nativeAddon();
if (addon === undefined) console.warn(`The fused kernels are not tested: ${nativeFailure()}`);

describe.skipIf(addon === undefined)('the native backend', () => {
  afterAll(() => addon?.setThreads(0));

  it.each(opCases)('$name agrees with the composition of core ops', async (opCase) => {
    await chooseBackend('cpu');
    const plain = await evaluate(opCase);
    await chooseBackend('native');
    expectAgreement(await evaluate(opCase), plain);
  });

  it('steps as Adam composed of core ops does, and takes the same norm', async () => {
    await chooseBackend('cpu');
    const plain = await optimized();
    await chooseBackend('native');
    expectSame(await optimized(), plain);
  });

  it.each([1, 2, 3])('gives the same bits every time on %i threads', async (threads) => {
    await chooseBackend('native');
    addon?.setThreads(threads);
    for (const { inputs, op } of opCases) {
      const first = await evaluate({ inputs, op });
      expect(await evaluate({ inputs, op })).toEqual(first);
    }
  });

  it('keeps what it was given apart from what it changes', async () => {
    await chooseBackend('native');
    const given = randomArray(20, 1);
    const before = given.slice();
    const parameter = tf.variable(tf.tensor1d(given));
    const gradient = tf.tensor1d(randomArray(20, 2));
    const read = await parameter.data();
    const moments = ops.adamMoments(parameter);
    ops.adamStep(parameter, gradient, moments, { learningRate: 1, step: 1 });
    expect(given).toEqual(before);
    expect(read).toEqual(before);
    expect(await parameter.data()).not.toEqual(before);
    tf.dispose([parameter, gradient, moments.first, moments.second]);
  });

  it('reports a token outside of the vocabulary', async () => {
    await chooseBackend('native');
    const table = tf.zeros([4, 3]) as tf.Tensor2D;
    expect(() => ops.embed(table, tf.tensor1d([1, 4], 'int32'))).toThrow(/holds 4 at 1, outside of 0 to 3/);
    table.dispose();
  });
});
