import { describe, expect, it } from 'vitest';
import { chooseDevice, shortage } from '../../../server/engine/choose-device.ts';
import { listAdapters, type GpuAdapterInfo } from '../../../server/gpu/adapters.ts';
import { noSoftwareAdapter, softwareDevice } from '../../reference/software-adapter.ts';

const card = (memory: GpuAdapterInfo['memory']): GpuAdapterInfo => ({
  name: 'Card',
  vendor: 'v',
  architecture: '',
  driver: '',
  backend: 'vulkan',
  kind: 'discrete',
  features: [],
  integerDot: false,
  limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 30 },
  memory,
});

describe('whether a model fits a GPU', () => {
  it('is said with both numbers', () => {
    const short = shortage(card({ totalBytes: 8e9, freeBytes: 1e9, source: '' }), 1.3e9);
    expect(short).toBe('the model needs 1300 MB of GPU memory, and Card has 1000 MB of 8000 MB free');
    expect(shortage(card({ totalBytes: 8e9, freeBytes: 2e9, source: '' }), 1.3e9)).toBeUndefined();
    expect(shortage(card({ totalBytes: 1e9, source: '' }), 1.3e9)).toContain('1000 MB of 1000 MB');
  });

  it('is left to the load where the size of the card is not known', () =>
    expect(shortage(card({ source: 'not known' }), 1e12)).toBeUndefined());
});

describe('the choice of a device', () => {
  it('of the CPU needs no reason', async () =>
    expect(await chooseDevice('cpu', 0)).toEqual({ kind: 'cpu', reason: undefined }));

  it.skipIf(noSoftwareAdapter !== undefined)('takes a software GPU only by its name', async () => {
    expect(await chooseDevice(softwareDevice, 1000)).toMatchObject({
      kind: 'gpu',
      reason: `asked for with ${softwareDevice}`,
    });
    const hasHardware = (await listAdapters()).some(({ kind }) => kind !== 'software');
    const automatic = await chooseDevice('auto', 1000);
    if (hasHardware) expect(automatic.kind).toBe('gpu');
    else {
      expect(automatic).toMatchObject({
        kind: 'cpu',
        reason: expect.stringMatching(/^auto: there is no hardware GPU here, only /) as string,
      });
    }
  });

  it.skipIf(noSoftwareAdapter !== undefined)('refuses a model that does not fit', async () => {
    await expect(chooseDevice(softwareDevice, 1e15)).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        /needs 1000000000 MB of GPU memory, and .+ has \d+ MB of \d+ MB free: use/,
      ) as string,
    });
  });
});
