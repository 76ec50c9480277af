import type { Dawn } from '../../server/gpu/dawn.ts';
import { planBuffers, topRowBytes } from '../../server/engine/webgpu/buffer-plan.ts';
import { CompiledProgram, PipelineCache } from '../../server/engine/webgpu/compiled-program.ts';
import {
  headProgram,
  layersProgram,
  topProgram,
  tuningWithin,
} from '../../server/engine/webgpu/step-program.ts';
import { configOfShape } from './model-shape.ts';

const llama7b = configOfShape('7b');

/**
 * What one decode step of LLaMA-7B costs the CPU before the GPU begins, on Dawn's null backend, which computes
 * nothing: writing the inputs, encoding, submitting. The weights' buffers are small ones, as the null backend
 * has no room for more; commands are the same.
 * @returns milliseconds, the median of `steps`
 */
export async function measureEncode(steps: number): Promise<{ milliseconds: number; dispatches: number }> {
  // Not through loadDawn: the null backend needs no Vulkan on the machine.
  const { create, globals } = (await import('webgpu')) as unknown as Dawn;
  Object.assign(globalThis, globals);
  const gpu = create(['backend=null']);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('Dawn has no null backend.');
  const device = await adapter.requestDevice();
  const shape = { config: llama7b, contextLength: 2048, sequences: 1, exact: false };
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const buffers = new Map(
    planBuffers(shape).map(({ name, bytes }) => [
      name,
      device.createBuffer({ size: Math.min(bytes, 65536), usage }),
    ]),
  );
  const buffer = (name: string) => buffers.get(name) as GPUBuffer;
  const read = device.createBuffer({
    size: topRowBytes,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const cache = new PipelineCache(
    device,
    { subgroups: false, halfCache: true, integerProducts: false },
    buffer,
  );
  // The null backend's device has the standard's smallest limits.
  const tuning = tuningWithin(device.limits.maxComputeInvocationsPerWorkgroup);
  const dispatches = [
    ...layersProgram(shape, 1, undefined, false, tuning),
    ...headProgram(shape, 1),
    ...topProgram(shape),
  ];
  const program = await CompiledProgram.compile(dispatches, cache);
  const embedded = new Uint16Array(llama7b.hiddenSize);
  const row = new Uint32Array(4);
  const times: number[] = [];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    device.queue.writeBuffer(buffer('embedded'), 0, embedded);
    device.queue.writeBuffer(buffer('rows'), 0, row);
    device.queue.writeBuffer(buffer('wanted'), 0, row);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    program.encode(pass, { rows: 1 });
    pass.end();
    encoder.copyBufferToBuffer(buffer('top'), 0, read, 0, topRowBytes);
    device.queue.submit([encoder.finish()]);
    times.push(performance.now() - start);
    if (step % 50 === 0) await device.queue.onSubmittedWorkDone();
  }
  // The instance has to outlive its device.
  device.destroy();
  (globalThis as { keptGpu?: GPU }).keptGpu = gpu;
  return { milliseconds: times.sort((a, b) => a - b)[steps >> 1] ?? NaN, dispatches: dispatches.length };
}
