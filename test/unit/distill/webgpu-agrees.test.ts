import { afterAll, describe, expect, it } from 'vitest';
import { chooseBackend } from '../../../server/distill/backend/choose-backend.ts';
import { tf } from '../../../server/distill/backend/tfjs.ts';
import { registerWebgpuBackend } from '../../../server/distill/backend/webgpu/register-webgpu.ts';
import { TrainingWebgpuBackend } from '../../../server/distill/backend/webgpu/webgpu-backend.ts';
import { noSoftwareAdapter, softwareGpu } from '../../reference/software-adapter.ts';
import { evaluate, expectAgreement, randomArray } from './gradient-check.ts';
import { opCases } from './op-cases.ts';
import { expectSame, optimized } from './optimizer-agrees.ts';

const gpu = noSoftwareAdapter === undefined ? await softwareGpu() : undefined;
if (gpu !== undefined) registerWebgpuBackend(gpu);

describe.skipIf(gpu === undefined)('the webgpu backend', () => {
  afterAll(() => gpu?.destroy());

  it.each(opCases)('$name agrees with the composition of core ops', async (opCase) => {
    await chooseBackend('cpu');
    const plain = await evaluate(opCase);
    await tf.setBackend('webgpu');
    expectAgreement(await evaluate(opCase), plain);
  });

  it('steps as Adam composed of core ops does, and takes the same norm', async () => {
    await chooseBackend('cpu');
    const plain = await optimized();
    await tf.setBackend('webgpu');
    expectSame(await optimized(), plain);
  });

  it('reads anew what changed after it was read, and leaves no tensors behind', async () => {
    await tf.setBackend('webgpu');
    const before = tf.memory().numTensors;
    const x = tf.tensor1d(randomArray(1300, 1));
    const variable = tf.variable(x);
    const doubled = tf.mul<tf.Tensor1D>(x, 2);
    const first = Float32Array.from(await doubled.data());
    expect(first).toEqual(randomArray(1300, 1).map((value) => 2 * value));
    variable.assign(doubled);
    expect(Float32Array.from(await variable.data())).toEqual(first);
    tf.dispose([x, variable, doubled]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses a tensor that no binding can hold, before it is made', async () => {
    await tf.setBackend('webgpu');
    expect(() => tf.tidy(() => tf.fill([1 << 16, 1 << 15], 1))).toThrow(
      /\[65536, 32768\] takes 8590 MB, and this GPU can be given \d+ MB at once/,
    );
  });

  it('throws what the device refused, at the next read', async () => {
    await tf.setBackend('webgpu');
    const other = await softwareGpu();
    const backend = new TrainingWebgpuBackend(other);
    const tensor = backend.makeTensorInfo([4], 'float32', new Float32Array(4));
    backend.uploadToGPU(tensor.dataId);
    other.device.createBuffer({ size: 2 ** 40, usage: GPUBufferUsage.STORAGE });
    await expect(backend.read(tensor.dataId)).rejects.toThrow(/refused|memory (of .* )?is full/);
    other.destroy();
  });

  it('says so where a value is read without waiting', async () => {
    await tf.setBackend('webgpu');
    const made = tf.tidy(() => tf.mul(tf.tensor1d(randomArray(1300, 1)), 2));
    expect(() => made.dataSync()).toThrow(/without waiting/);
    made.dispose();
  });
});
