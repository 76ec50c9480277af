import { describe, expect, it } from 'vitest';
import type { ModelConfig } from '../../../../server/checkpoint/model-config.ts';
import {
  attentionChunks,
  cacheBanks,
  planBuffers,
  planGpuMemory,
  topRowBytes,
  type GpuEngineShape,
} from '../../../../server/engine/webgpu/buffer-plan.ts';
import { kernelBindings } from '../../../../server/engine/webgpu/kernel-source.ts';
import { headProgram, layersProgram, topProgram } from '../../../../server/engine/webgpu/step-program.ts';
import { bindingLimit } from '../../../../server/gpu/device.ts';

const llama7b: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 4096,
  intermediateSize: 11008,
  layers: 32,
  heads: 32,
  kvHeads: 32,
  headDim: 128,
  vocabSize: 32000,
  maxPositions: 2048,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
  layerNormEps: 1e-5,
  bosTokenId: 1,
  eosTokenIds: [2],
};
const shape: GpuEngineShape = { config: llama7b, contextLength: 2048, sequences: 1, exact: false };

// Figures of the 7B shape, by counting: no GPU takes part.
describe('the cost of the WebGPU engine on LLaMA-7B', () => {
  it('is at most nine dispatches a layer', () => {
    for (const batch of [1, 8, 'prefill'] as const) {
      const perLayer = (layersProgram(shape, batch).length - 1) / llama7b.layers;
      expect(perLayer).toBeLessThanOrEqual(9);
    }
    // Beyond 256 positions one more puts the parts of the attention together.
    expect((layersProgram(shape, 1, undefined, true).length - 1) / llama7b.layers).toBe(10);
  });

  it('is at most 1.30 GB of GPU memory beside the KV cache', () => {
    const { parts, totalBytes } = planGpuMemory(llama7b, 2048, 1);
    expect(parts.signs).toBe((llama7b.layers * (4 * 4096 * 4096 + 3 * 4096 * 11008)) / 8);
    expect(parts['kv-cache']).toBe(2 * 32 * 2048 * 4096 * 2);
    expect(totalBytes - parts['kv-cache']).toBeLessThanOrEqual(1.3e9);
  });

  it.each([false, true])('is at most 1.02 times the bytes that a step has to read; in parts: %s', (split) => {
    const buffers = new Map(planBuffers(shape).map((buffer) => [buffer.name, buffer]));
    const positions = 1000;
    const kvBytes = 2 * llama7b.layers * positions * 4096 * 2;
    const read = new Set<string>();
    let scratch = 0;
    let turns = 0;
    const chunks = attentionChunks(shape.contextLength);
    const programs = [
      ...layersProgram(shape, 1, undefined, split),
      ...headProgram(shape, 1),
      ...topProgram(shape),
    ];
    for (const { kernel, bindings } of programs) {
      const accesses = kernelBindings(kernel);
      for (const [binding, name] of bindings.entries()) {
        const { part = 'staging', rowBytes = 0 } = buffers.get(name) ?? {};
        const isRead = accesses[binding] === 'read' || name === 'hidden';
        // Every weight is read by one dispatch. Of scratch a dispatch reads a row at most.
        if (name === 'turns') turns = 4 * llama7b.headDim;
        // Of the parts of a whole context those that there are.
        else if (name === 'attendedParts' && isRead) {
          scratch += (rowBytes * Math.ceil(positions / chunks.positions)) / chunks.most;
        } else if (part === 'scratch' && isRead) scratch += rowBytes;
        else if (part !== 'scratch' && part !== 'kv-cache') read.add(name);
      }
    }
    const weights = [...read].reduce((sum, name) => sum + (buffers.get(name)?.bytes ?? 0), 0);
    const { parts } = planGpuMemory(llama7b, 2048, 1);
    const needed = parts.signs + parts.values + parts.head + parts.norms + kvBytes;
    expect(weights).toBe(parts.signs + parts.values + parts.head + parts.norms);
    expect(weights + kvBytes + scratch + turns).toBeLessThanOrEqual(1.02 * needed);
  });

  it('is at most 1 KB read back for a token', () => {
    expect(topRowBytes).toBeLessThanOrEqual(1024);
  });

  it('is no binding of more than 128 MiB, however many sequences', () => {
    for (const sequences of [1, 8, 64]) {
      const many = { ...shape, sequences };
      for (const { name, bytes } of planBuffers(many)) {
        if (name !== 'readLogits') expect(bytes).toBeLessThanOrEqual(bindingLimit);
      }
      const held = cacheBanks(many).reduce((sum, { count }) => sum + count, 0);
      expect(held).toBe(sequences);
    }
    const long = { ...shape, contextLength: 32_768 };
    expect(() => planBuffers(long)).toThrow(/16384 or less/);
  });
});
