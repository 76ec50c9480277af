import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { adapterMemory, parseNvidiaSmi } from '../../../server/gpu/adapter-memory.ts';
import { adapterKind, chooseAdapter, listAdapters } from '../../../server/gpu/adapters.ts';
import { noSoftwareAdapter, softwareDevice } from '../../reference/software-adapter.ts';

describe.skipIf(noSoftwareAdapter !== undefined)('the adapters of this machine', () => {
  it('are listed with a software one as such', async () => {
    const software = (await listAdapters()).find(({ kind }) => kind === 'software');
    expect(software?.backend).toBe('vulkan');
    expect(software?.limits.maxBufferSize).toBeGreaterThan(2 ** 27);
    expect(software?.memory.totalBytes).toBeGreaterThan(0);
  });

  it('are chosen by any part of the name, in either case', async () => {
    const name = softwareDevice.slice('gpu:'.length);
    for (const part of [name, name.toUpperCase(), name.slice(2, 7)]) {
      expect((await chooseAdapter(`gpu:${part}`)).info.kind).toBe('software');
    }
  });

  it('do not include a software one unless it is named', async () => {
    const hardware = (await listAdapters()).filter(({ kind }) => kind !== 'software');
    for (const device of ['auto', 'gpu']) {
      const choice = chooseAdapter(device).then(({ info }) => info.kind);
      if (hardware.length > 0) await expect(choice).resolves.not.toBe('software');
      else await expect(choice).rejects.toThrow(/no hardware GPU here\. There is: .+ \(software\)/);
    }
  });

  it('are named in the error for a name that none has', async () => {
    await expect(chooseAdapter('gpu:voodoo')).rejects.toMatchObject({
      code: 'gpu-missing',
      message: expect.stringMatching(/no GPU with "voodoo" in its name\. There is: .+\(software\)/) as string,
    });
    await expect(chooseAdapter('voodoo')).rejects.toMatchObject({ code: 'bad-value' });
  });
});

describe('the kind of an adapter', () => {
  const kind = (name: string, vendor: string, strongest = [name], thriftiest = [name]) =>
    adapterKind(name, { vendor, isFallbackAdapter: false }, strongest, thriftiest);

  it("follows Dawn's order where there are both kinds", () => {
    const names = ['Card', 'Second card', 'Chip', 'llvmpipe (LLVM 15)'];
    const thrifty = ['Chip', 'Card', 'Second card', 'llvmpipe (LLVM 15)'];
    const kinds = names.map((name) => kind(name, 'other', names, thrifty));
    expect(kinds).toEqual(['discrete', 'discrete', 'integrated', 'software']);
  });

  it.each([
    ['NVIDIA GeForce RTX 4090', 'nvidia', 'discrete'],
    ['Apple M3 Max', 'apple', 'integrated'],
    ['AMD Radeon RX 7900 XTX (RADV NAVI31)', 'amd', 'discrete'],
    ['AMD Radeon Graphics (RADV RENOIR)', 'amd', 'integrated'],
    ['AMD Radeon 780M', 'amd', 'integrated'],
    ['Intel(R) Arc(tm) A770 Graphics (DG2)', 'intel', 'discrete'],
    ['Intel(R) Iris(R) Xe Graphics (TGL GT2)', 'intel', 'integrated'],
    ['Microsoft Basic Render Driver', 'microsoft', 'software'],
  ])('is told by the name of %s', (name, vendor, expected) => {
    expect(kind(name, vendor)).toBe(expected);
  });
});

describe('the memory of a card', () => {
  const root = mkdtempSync(join(tmpdir(), 'onebit-sys-'));
  afterAll(() => rmSync(root, { recursive: true }));

  it('is read from nvidia-smi, by name or for the only card', () => {
    const two = 'NVIDIA T4, 15360, 14000\nNVIDIA A100-SXM4-80GB, 81920, 80000\n';
    expect(parseNvidiaSmi(two, 'NVIDIA A100-SXM4-80GB')).toMatchObject({
      totalBytes: 81920 * 2 ** 20,
      freeBytes: 80000 * 2 ** 20,
    });
    expect(parseNvidiaSmi(two, 'another')).toBeUndefined();
    expect(parseNvidiaSmi('NVIDIA T4, 15360, 14000\n', 'Tesla T4')?.totalBytes).toBe(15360 * 2 ** 20);
    expect(parseNvidiaSmi('No devices were found\n', 'x')).toBeUndefined();
  });

  it("is read from Linux's amdgpu driver, the largest card's", async () => {
    for (const [card, total, used] of [
      ['card0', 2 ** 29, 2 ** 20],
      ['card1', 2 ** 34, 2 ** 30],
    ] as const) {
      const device = join(root, 'sys/class/drm', card, 'device');
      mkdirSync(device, { recursive: true });
      writeFileSync(join(device, 'mem_info_vram_total'), `${total}\n`);
      writeFileSync(join(device, 'mem_info_vram_used'), `${used}\n`);
    }
    expect(await adapterMemory('Radeon RX', 'amd', 'discrete', root)).toMatchObject({
      totalBytes: 2 ** 34,
      freeBytes: 2 ** 34 - 2 ** 30,
    });
  });

  it('is said to be unknown where nothing tells it', async () => {
    const memory = await adapterMemory('Arc A770', 'intel', 'discrete', root);
    expect(memory.totalBytes).toBeUndefined();
    expect(memory.source).toContain('not known');
  });
});
