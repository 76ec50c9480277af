import type { GpuDevice } from '../../server/gpu/device.ts';
import { CompiledProgram, PipelineCache } from '../../server/engine/webgpu/compiled-program.ts';
import type { KernelVariant } from '../../server/engine/webgpu/kernel-source.ts';
import type { Dispatch } from '../../server/engine/webgpu/step-program.ts';

/** Runs one dispatch over buffers of its own and gives back what the buffers hold after it. */
export async function runDispatch(
  gpu: GpuDevice,
  variant: KernelVariant,
  dispatch: Dispatch,
  contents: Record<string, Float32Array | Uint32Array>,
  rows: number,
  positions?: number,
): Promise<(name: string) => Uint8Array> {
  const { device, ledger } = gpu;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const buffers = new Map<string, GPUBuffer>();
  const results = new Map<string, Uint8Array>();
  await gpu.scoped(dispatch.kernel, async () => {
    for (const [name, values] of Object.entries(contents)) {
      const buffer = ledger.create('scratch', values.byteLength, usage, { label: name });
      device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
      buffers.set(name, buffer);
    }
    const cache = new PipelineCache(device, variant, (name) => {
      const buffer = buffers.get(name);
      if (buffer === undefined) throw new Error(`The test gives no buffer ${name}.`);
      return buffer;
    });
    const program = await CompiledProgram.compile([dispatch], cache);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    program.encode(pass, { rows, positions });
    pass.end();
    const reads = new Map<string, GPUBuffer>();
    for (const [name, buffer] of buffers) {
      const read = ledger.create('staging', buffer.size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
      encoder.copyBufferToBuffer(buffer, 0, read, 0, buffer.size);
      reads.set(name, read);
    }
    device.queue.submit([encoder.finish()]);
    for (const [name, read] of reads) {
      await read.mapAsync(GPUMapMode.READ);
      results.set(name, new Uint8Array(read.getMappedRange().slice(0)));
    }
  });
  ledger.release();
  return (name) => results.get(name) ?? new Uint8Array();
}
