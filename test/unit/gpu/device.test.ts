import { afterEach, describe, expect, it, vi } from 'vitest';
import type { GpuDevice } from '../../../server/gpu/device.ts';
import { noSoftwareAdapter, residentBytes, softwareGpu } from '../../reference/software-adapter.ts';

const doubled = `
  @group(0) @binding(0) var<storage, read_write> values: array<f32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x < arrayLength(&values)) { values[id.x] *= 2.0; }
  }`;

describe.skipIf(noSoftwareAdapter !== undefined)('a GPU device', () => {
  let gpu: GpuDevice | undefined;
  const open = async (options?: Parameters<typeof softwareGpu>[0]) => (gpu = await softwareGpu(options));
  afterEach(() => gpu?.destroy());

  async function read({ device }: GpuDevice, source: GPUBuffer): Promise<Float32Array> {
    const target = device.createBuffer({
      size: source.size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, target, 0, source.size);
    device.queue.submit([encoder.finish()]);
    await target.mapAsync(GPUMapMode.READ);
    const values = new Float32Array(target.getMappedRange().slice(0));
    target.destroy();
    return values;
  }

  it('computes', async () => {
    const { device, ledger } = await open();
    const buffer = ledger.create(
      'values',
      400,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    );
    const input = Float32Array.from({ length: 100 }, (_, i) => i - 50);
    device.queue.writeBuffer(buffer, 0, input);
    const pipeline = device.createComputePipeline({
      layout: 'auto',
      compute: { module: device.createShaderModule({ code: doubled }) },
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: 0, resource: { buffer } }],
      }),
    );
    pass.dispatchWorkgroups(2);
    pass.end();
    device.queue.submit([encoder.finish()]);
    expect(gpu && [...(await read(gpu, buffer))]).toEqual([...input].map((v) => 2 * v));
    gpu?.check();
  });

  it('has the features of its adapter but those that were left out', async () => {
    const { features, device, info } = await open({ without: ['subgroups'] });
    expect(features.has('subgroups')).toBe(false);
    expect(device.features.has('subgroups')).toBe(false);
    expect([...features]).toEqual(info.features.filter((feature) => feature !== 'subgroups'));
  });

  it("asks for the adapter's limits, not the standard's smallest", async () => {
    const { device, info } = await open();
    expect(device.limits.maxBufferSize).toBe(info.limits.maxBufferSize);
    expect(device.limits.maxStorageBufferBindingSize).toBe(info.limits.maxStorageBufferBindingSize);
  });

  it('counts buffers and bytes by part, and counts nothing after release', async () => {
    const { ledger } = await open();
    const first = ledger.create('signs', 1000, GPUBufferUsage.STORAGE);
    ledger.create('signs', 24, GPUBufferUsage.STORAGE);
    ledger.create('kv-cache', 30, GPUBufferUsage.STORAGE);
    expect([...ledger.bytesByPart()]).toEqual([
      ['signs', 1024],
      ['kv-cache', 32],
    ]);
    ledger.destroy(first);
    ledger.destroy(first);
    expect([ledger.count, ledger.bytes(), ledger.bytes('signs')]).toEqual([2, 56, 24]);
    ledger.release();
    expect([ledger.count, ledger.bytes()]).toEqual([0, 0]);
  });

  it('gives memory back to the system when the buffers are released', { timeout: 120_000 }, async () => {
    const { ledger, device } = await open();
    const megabytes = 64;
    const contents = new Uint8Array(megabytes * 2 ** 20).fill(7);
    await device.queue.onSubmittedWorkDone();
    const before = residentBytes();
    for (let i = 0; i < 4; i++) {
      const buffer = ledger.create('signs', contents.length, GPUBufferUsage.COPY_DST);
      device.queue.writeBuffer(buffer, 0, contents);
      await device.queue.onSubmittedWorkDone();
    }
    const during = residentBytes();
    ledger.release();
    expect(during - before).toBeGreaterThan(200 * 2 ** 20);
    // Dawn frees a buffer with the first look at its queue after the adapter's thread is done with it.
    await vi.waitFor(
      async () => {
        device.queue.submit([device.createCommandEncoder().finish()]);
        await device.queue.onSubmittedWorkDone();
        expect(residentBytes() - before).toBeLessThan(100 * 2 ** 20);
      },
      { timeout: 60_000, interval: 100 },
    );
  });

  it('throws from a scope what the device refused in it, and works on', async () => {
    const device = await open();
    const tooMuch = device.device.limits.maxBufferSize + 4;
    const refused = device.scoped('a large buffer', () =>
      device.ledger.create('signs', tooMuch, GPUBufferUsage.STORAGE),
    );
    const inOrder = device.scoped('a small buffer', () =>
      device.ledger.create('signs', 4, GPUBufferUsage.STORAGE),
    );
    await expect(refused).rejects.toThrow(/refused a command .*a large buffer/);
    expect((await inOrder).size).toBe(4);
    await expect(
      device.scoped('own', () => Promise.reject(new Error('an error of the work'))),
    ).rejects.toThrow('an error of the work');
    device.check();
  });

  it('fails loudly when a command outside a scope is refused', async () => {
    const device = await open();
    device.check();
    device.device.createBindGroupLayout({
      entries: [{ binding: 1e9, visibility: GPUShaderStage.COMPUTE, buffer: {} }],
    });
    const error = await device.failed;
    expect(error.message).toContain('refused a command');
    expect(() => device.check()).toThrow(error);
    await expect(device.scoped('later work', () => 1)).rejects.toThrow(error);
  });

  it('says that it was lost', async () => {
    const device = await open();
    device.device.destroy();
    expect((await device.lost).reason).toBe('destroyed');
    expect(await device.failed).toMatchObject({ code: 'gpu-lost' });
    expect(() => device.check()).toThrow(/was lost/);
  });
});
