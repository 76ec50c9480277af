import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine } from '../../../server/engine/engine.ts';
import { planMemory } from '../../../server/engine/memory-plan.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { planGpuMemory } from '../../../server/engine/webgpu/buffer-plan.ts';
import { nativeAddon } from '../../../server/native/addon.ts';
import type { MemoryPlan } from '../../../server/protocol/memory.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

let root: string;
let folder: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'onebit-plan-'));
  folder = join(root, 'model');
  writeRandomCheckpoint(folder, { layout: 'onebit', vocabSize: 96, kvHeads: 2, maxPositions: 256 });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const paths = nativeAddon() === undefined ? (['portable'] as const) : (['portable', 'native'] as const);
const bytesOf = (plan: MemoryPlan, part: string) => plan.parts.find((one) => one.part === part);

describe.each(paths)('the plan of a model on the %s engine', (path) => {
  async function filled(contextLength: number, sequences: number): Promise<Engine> {
    const engine = await openEngine(folder, { path, contextLength, sequences });
    const tokens = Array.from({ length: contextLength }, (_, i) => i % 96);
    for (let i = 0; i < sequences; i++) {
      await engine.forward([{ sequence: engine.open(), tokens, logits: 'none' }]);
    }
    return engine;
  }

  test('says what another context takes: as much as an engine with that context and full caches holds', async () => {
    const [engine, longer] = [await filled(64, 2), await filled(256, 2)];
    try {
      const report = engine.memory();
      const plan = planMemory({ config: engine.config, report, sequences: 2 }, { contextLength: 256 });
      const cache = bytesOf(plan, 'kv-cache');
      expect(cache?.nowBytes).toBe(report.kvCacheBytes);
      expect(cache?.plannedBytes).toBe(longer.memory().kvCacheBytes);
      expect(cache?.how).toContain('2 × 256 tokens');
      for (const { part, bytes } of longer.memory().parts) {
        if (part !== 'scratch') expect(bytesOf(plan, part)?.plannedBytes, part).toBe(bytes);
      }
      expect(plan.plannedBytes - plan.nowBytes).toBeGreaterThanOrEqual(3 * report.kvCacheBytes);
    } finally {
      await engine.dispose();
      await longer.dispose();
    }
  });

  test.each([8, 16] as const)(
    'says what a head of %i bits takes, as an engine with it reports',
    async (headBits) => {
      const engine = await openEngine(folder, { path, contextLength: 64, headBits: 16 });
      const other = await openEngine(folder, { path, contextLength: 64, headBits });
      try {
        const { config } = engine;
        const plan = planMemory({ config, report: engine.memory(), sequences: 1 }, { headBits });
        const tables = (parts: readonly { part: string; bytes?: number; plannedBytes?: number }[]) =>
          parts.flatMap(({ part, bytes, plannedBytes }) =>
            part === 'head' || part === 'embedding' ? [[part, plannedBytes ?? bytes]] : [],
          );
        if (path === 'native') {
          expect(tables(plan.parts)).toEqual(
            tables(other.memory().parts.map(({ part, bytes }) => ({ part, bytes }))),
          );
        }
        const size = config.vocabSize * (headBits === 8 ? config.hiddenSize + 4 : 2 * config.hiddenSize);
        expect(bytesOf(plan, 'head')?.plannedBytes ?? 0).toBe(
          config.tieEmbeddings && headBits === 16 ? 0 : size,
        );
      } finally {
        await engine.dispose();
        await other.dispose();
      }
    },
  );
});

test('on a GPU the plan is that of its buffers', async () => {
  const engine = await openEngine(folder, { path: 'portable', contextLength: 64 });
  try {
    const { config } = engine;
    const { parts } = planGpuMemory(config, 64, 4);
    const onGpu = engine.memory();
    const report = {
      ...onGpu,
      kvElementBytes: 2,
      device: { ...onGpu.device, kind: 'gpu' as const },
      parts: (['kv-cache', 'scratch'] as const).map((part) => ({
        part,
        place: 'gpu' as const,
        bytes: parts[part],
        fp16Bytes: 0,
      })),
    };
    const plan = planMemory({ config, report, sequences: 4 }, { contextLength: 256 });
    const wanted = planGpuMemory(config, 256, 4).parts;
    expect(bytesOf(plan, 'kv-cache')).toMatchObject({
      nowBytes: parts['kv-cache'],
      plannedBytes: wanted['kv-cache'],
    });
    expect(bytesOf(plan, 'scratch')?.plannedBytes).toBe(wanted.scratch);
  } finally {
    await engine.dispose();
  }
});
