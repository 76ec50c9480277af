import { totalmem } from 'node:os';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ServerClient } from '../../extension/server-link/server-client.ts';
import { openCheckpoint } from '../../server/checkpoint/open-checkpoint.ts';
import { planGpuMemory } from '../../server/engine/webgpu/buffer-plan.ts';
import { defaultSequences } from '../../server/engine/open-language-model.ts';
import { noSoftwareAdapter, softwareDevice, softwareEnvironment } from '../reference/software-adapter.ts';
import { cleanUp, connect, ServeProcess, tinyModel } from './serve-process.ts';

// Only ends what has failed: a software adapter is slow on a busy machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.skipIf(noSoftwareAdapter !== undefined)('GPU memory of a server', () => {
  const contextLength = 64;
  let server: ServeProcess & Awaited<ReturnType<typeof ServeProcess.start>>;
  let client: ServerClient;
  let model: string;

  beforeAll(async () => {
    Object.assign(process.env, softwareEnvironment);
    // A large vocabulary: tens of megabytes of lm_head, to be seen among what a process takes anyway.
    model = tinyModel({ hiddenSize: 512, heads: 4, intermediateSize: 512, layers: 1, vocabSize: 30_000 });
    server = await ServeProcess.start(['--model', model, '--device', softwareDevice, '--context', '64']);
    client = await connect(server.file);
  });
  afterAll(cleanUp);

  async function metric(name: string): Promise<number> {
    const headers = { authorization: `Bearer ${server.file.token}` };
    const text = await (await fetch(`http://127.0.0.1:${server.file.port}/metrics`, { headers })).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }

  it('is planned, measured, reported, and given back: four times over', async () => {
    const checkpoint = await openCheckpoint(model);
    const { parts, totalBytes } = planGpuMemory(checkpoint.config, contextLength, defaultSequences);
    await checkpoint.close();
    const headBytes = 2 * 30_000 * 512;
    for (let round = 0; round < 4; round++) {
      const { memory } = await client.request('model/load', { model });
      expect(memory?.device).toMatchObject({ kind: 'gpu', reason: `asked for with ${softwareDevice}` });
      for (const { part, bytes, plannedBytes } of memory?.parts ?? []) {
        if (plannedBytes !== undefined)
          expect([part, bytes, plannedBytes]).toEqual([part, parts[part], parts[part]]);
      }
      expect(await metric('onebit_gpu_bytes')).toBe(totalBytes);
      expect(await metric('onebit_gpu_buffers')).toBeGreaterThan(10);
      // Most of its ids are beyond the tokenizer: there is little text in them.
      const { timings } = await client.complete({ prefix: 'let a', suffix: '', maxTokens: 2 });
      expect(timings.completionTokens).toBe(2);
      const loaded = await metric('process_resident_memory_bytes');
      expect((await client.request('model/unload', {})).state).toBe('unloaded');
      expect(await metric('onebit_gpu_buffers')).toBe(0);
      expect(await metric('onebit_gpu_bytes')).toBe(0);
      // A software adapter's memory is the process's.
      const unloaded = await metric('process_resident_memory_bytes');
      expect(loaded - unloaded).toBeGreaterThan(headBytes);
    }
  });

  it('is refused before anything is uploaded where it is too small, with both numbers', async () => {
    // A software adapter has the machine's memory; a layer's KV cache here takes 1 GiB.
    const layers = Math.ceil(totalmem() / 2 ** 30) + 1;
    const shape = { hiddenSize: 64, heads: 2, intermediateSize: 64, layers, maxPositions: 1_048_576 };
    const big = { model: tinyModel(shape), contextLength: 1_048_576 };
    await expect(client.request('model/load', big)).rejects.toThrow(
      /needs \d+ MB of GPU memory, and .+ has \d+ MB/,
    );
    expect(await metric('onebit_gpu_buffers')).toBe(0);
    // What was chosen before comes back on demand.
    const { timings } = await client.complete({ prefix: 'let b', suffix: '', maxTokens: 1 });
    expect(timings.completionTokens).toBe(1);
  });
});
