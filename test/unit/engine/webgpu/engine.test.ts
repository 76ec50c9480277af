import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Checkpoint } from '../../../../server/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../../server/checkpoint/open-checkpoint.ts';
import { PortableEngine } from '../../../../server/engine/cpu/portable-engine.ts';
import type { Engine, TopLogits } from '../../../../server/engine/engine.ts';
import { argmax } from '../../../../server/engine/sampler.ts';
import { planGpuMemory } from '../../../../server/engine/webgpu/buffer-plan.ts';
import { WebGpuEngine } from '../../../../server/engine/webgpu/webgpu-engine.ts';
import { packageRoot } from '../../../../server/package-root.ts';
import type { GpuDevice } from '../../../../server/gpu/device.ts';
import { writeRandomCheckpoint } from '../../../reference/random-checkpoint.ts';
import { noSoftwareAdapter, residentBytes, softwareGpu } from '../../../reference/software-adapter.ts';

// Inputs that fill no word of 32 signs, grouped queries of one kv head, biases, an odd vocabulary.
// SwiftShader shares the machine's cores with whatever else runs there: the time limit is a wide one.
describe.skipIf(noSoftwareAdapter !== undefined)('the WebGPU engine', { timeout: 300_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'webgpu-engine-'));
  const contextLength = 160;
  let gpu: GpuDevice;
  let checkpoint: Checkpoint;
  let engine: WebGpuEngine;
  let portable: PortableEngine;
  const tokens = Array.from({ length: 45 }, (_, i) => (i * 37 + 11) % 131);
  const top = (wanted: number): TopLogits => ({ wanted, ids: [], logits: [], logSumExp: 0 });

  beforeAll(async () => {
    const { path } = writeRandomCheckpoint(join(folder, 'model'), {
      layout: 'onebit',
      hiddenSize: 72,
      intermediateSize: 104,
      heads: 3,
      kvHeads: 1,
      headDim: 24,
      vocabSize: 131,
      maxPositions: contextLength,
      attentionBias: true,
      mlpBias: true,
    });
    checkpoint = await openCheckpoint(path);
    gpu = await softwareGpu({ unchecked: true });
    engine = await WebGpuEngine.load(gpu, checkpoint, { contextLength, sequences: 3, exact: true });
    portable = await PortableEngine.load(checkpoint, { contextLength, sequences: 3 });
  });
  afterAll(async () => {
    await engine.dispose();
    expect([gpu.ledger.count, gpu.ledger.bytes()]).toEqual([0, 0]);
    gpu.destroy();
    await portable.dispose();
    await checkpoint.close();
    rmSync(folder, { recursive: true });
  });

  function expectNear(actual: Float32Array | undefined, expected: Float32Array | undefined): void {
    expect(actual?.length).toBe(expected?.length);
    const worst = expected?.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - (actual?.[i] ?? NaN))),
      0,
    );
    expect(worst).toBeLessThan(1e-3);
  }

  it('gives the logits of the CPU engine: a prompt in tiles, then a batch of unequal sequences', async () => {
    const run = async (it: Engine) => {
      const [a, b, c] = [it.open(), it.open(), it.open()];
      const [prompt] = await it.forward([{ sequence: a, tokens, logits: 'all' }]);
      const [none] = await it.forward([{ sequence: b, tokens: tokens.slice(0, 3), logits: 'none' }]);
      const batch = await it.forward([
        { sequence: a, tokens: [5], logits: 'last' },
        { sequence: b, tokens: [6, 7], logits: 'all' },
        { sequence: c, tokens: [8], logits: 'last' },
      ]);
      a.truncate(20);
      const [again] = await it.forward([{ sequence: a, tokens: [9], logits: 'last' }]);
      expect([a.length, b.length, c.length, none?.length]).toEqual([21, 5, 1, 0]);
      for (const sequence of [a, b, c]) sequence.dispose();
      return [prompt, ...batch, again];
    };
    const expected = await run(portable);
    const actual = await run(engine);
    expected.forEach((logits, i) => expectNear(actual[i], logits));
  });

  it('gives the same logits with the attention of long contexts in parts', async () => {
    const { count } = gpu.ledger;
    const split = await WebGpuEngine.load(gpu, checkpoint, {
      contextLength,
      sequences: 2,
      exact: true,
      splitFrom: 40,
    });
    const run = async (it: Engine) => {
      const [long, short] = [it.open(), it.open()];
      await it.forward([
        { sequence: long, tokens, logits: 'none' },
        { sequence: short, tokens: [8], logits: 'none' },
      ]);
      const both = await it.forward([
        { sequence: long, tokens: [5], logits: 'last' },
        { sequence: short, tokens: [6], logits: 'last' },
      ]);
      for (const sequence of [long, short]) sequence.dispose();
      return both;
    };
    const expected = await run(portable);
    (await run(split)).forEach((logits, i) => expectNear(logits, expected[i]));
    await split.dispose();
    expect(gpu.ledger.count).toBe(count);
  });

  it.each([
    ['one bank', undefined],
    ['two banks, the third sequence alone in one', 2 * contextLength * 24 * 4],
  ] as const)('goes on from positions that another sequence has computed: %s', async (_, bankBytes) => {
    const own = await WebGpuEngine.load(gpu, checkpoint, {
      contextLength,
      sequences: 3,
      exact: true,
      bankBytes,
    });
    const [first, second, third] = [own.open(), own.open(), own.open()];
    await own.forward([
      { sequence: first, tokens, logits: 'none' },
      { sequence: second, tokens: tokens.slice(0, 7), logits: 'none' },
    ]);
    await own.copyPositions(first, second, 30);
    await own.copyPositions(first, third, 40);
    expect([second.length, third.length]).toEqual([30, 40]);
    const [a, b] = await own.forward([
      { sequence: second, tokens: tokens.slice(30), logits: 'last' },
      { sequence: third, tokens: tokens.slice(40), logits: 'last' },
    ]);
    const sequence = portable.open();
    const [expected] = await portable.forward([{ sequence, tokens, logits: 'last' }]);
    sequence.dispose();
    expectNear(a, expected);
    expectNear(b, expected);
    await expect(own.copyPositions(third, first, 60)).rejects.toMatchObject({ code: 'internal' });
    await own.dispose();
  });

  it('chooses the same ids over 128 greedy tokens, and reads back less than 1 KB for each', async () => {
    const [ours, reference] = [engine.open(), portable.open()];
    let [token, expected] = [3, 3];
    const before = engine.bytesReadBack;
    for (let i = 0; i < 128; i++) {
      const best = top(i < 125 ? 1 : 4);
      const [none] = await engine.forward([{ sequence: ours, tokens: [token], logits: 'last', top: best }]);
      expect(none).toHaveLength(0);
      const [logits = new Float32Array()] = await portable.forward([
        { sequence: reference, tokens: [expected], logits: 'last' },
      ]);
      token = best.ids[0] ?? -1;
      expected = argmax(logits);
      expect(token).toBe(expected);
      expect(best.ids).toHaveLength(best.wanted);
      expect(best.logits[0]).toBeCloseTo(logits[expected] ?? NaN, 2);
    }
    expect((engine.bytesReadBack - before) / 128).toBeLessThan(1024);
    ours.dispose();
    reference.dispose();
  });

  it('holds what was planned, and no more with every step', { timeout: 7_200_000 }, async () => {
    const { parts, totalBytes } = planGpuMemory(checkpoint.config, contextLength, 3, true);
    const report = engine.memory();
    expect(report.device.kind).toBe('gpu');
    for (const { part, bytes, plannedBytes } of report.parts) {
      expect([part, bytes, plannedBytes]).toEqual([part, parts[part], parts[part]]);
    }
    expect(gpu.ledger.bytes()).toBe(totalBytes);
    const { count } = gpu.ledger;
    const sequence = engine.open();
    // ONEBIT_TEST_STEPS=10000 takes an hour on a software adapter.
    const steps = Number(process.env.ONEBIT_TEST_STEPS ?? 60);
    let resident = 0;
    for (let i = 0; i < steps; i++) {
      sequence.truncate(i % 8);
      await engine.forward([{ sequence, tokens: [i % 131], logits: 'last', top: top(1) }]);
      if (i === Math.floor(steps / 3)) resident = residentBytes();
    }
    expect(residentBytes() - resident).toBeLessThan(24 * 2 ** 20);
    expect([gpu.ledger.count, gpu.ledger.bytes()]).toEqual([count, totalBytes]);
    sequence.dispose();
  });

  it('refuses what it has no room for, and leaves the sequences as they were', async () => {
    const sequence = engine.open();
    await engine.forward([{ sequence, tokens: [1, 2], logits: 'none' }]);
    const aborted = engine.forward([{ sequence, tokens: [1], logits: 'last' }], AbortSignal.abort());
    await expect(aborted).rejects.toMatchObject({ code: 'cancelled' });
    await expect(
      engine.forward([{ sequence, tokens: new Array<number>(contextLength).fill(1), logits: 'last' }]),
    ).rejects.toMatchObject({ code: 'bad-request' });
    expect(sequence.length).toBe(2);
    engine.open();
    engine.open();
    expect(() => engine.open()).toThrow(/in use/);
  });

  // ONEBIT_TEST_STEPS=128 for as many ids as are compared by hand before a release.
  it.for<[string, number]>([
    ['exact: f32 throughout', 1e-4],
    ['default: an fp16 cache, products on integers', 1e-3],
    ['an fp16 cache, products in f32', 1e-3],
  ])(
    'gives the logits and greedy ids of the CPU engine for the starter student: %s',
    async ([precision, allowed]) => {
      if (precision.endsWith('f32')) {
        vi.stubEnv('ONEBIT_GPU_PRODUCTS', 'f32');
        onTestFinished(() => void vi.unstubAllEnvs());
      } else if (!precision.startsWith('exact')) {
        expect(gpu.info.integerDot).toBe(true);
      }
      const starter = await openCheckpoint(join(packageRoot(), 'server', 'starter', 'student'));
      const options = { contextLength: 192, sequences: 1 };
      const { count } = gpu.ledger;
      const cpu = await PortableEngine.load(starter, options);
      const ours = await WebGpuEngine.load(gpu, starter, {
        ...options,
        exact: precision.startsWith('exact'),
      });
      const [reference, sequence] = [cpu.open(), ours.open()];
      let next = Array.from({ length: 17 }, (_, i) => (i * 97 + 3) % starter.config.vocabSize);
      let worst = 0;
      const steps = Math.min(Number(process.env.ONEBIT_TEST_STEPS ?? 12), 128);
      for (let i = 0; i < steps; i++) {
        const [expected = new Float32Array()] = await cpu.forward([
          { sequence: reference, tokens: next, logits: 'last' },
        ]);
        const [logits = new Float32Array()] = await ours.forward([
          { sequence, tokens: next, logits: 'last' },
        ]);
        const deviation = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
        const difference = expected.reduce(
          (most, v, id) => Math.max(most, Math.abs(v - (logits[id] ?? NaN))),
          0,
        );
        worst = Math.max(worst, difference / Math.max(1, deviation));
        next = [argmax(expected)];
        // Of two logits that are closer than the tolerance, either may win.
        expect(Math.abs((expected[argmax(logits)] ?? NaN) - (expected[next[0] ?? 0] ?? NaN))).toBeLessThan(
          2 * allowed * Math.max(1, deviation),
        );
        expect(argmax(logits)).toBe(next[0]);
      }
      if (process.env.ONEBIT_TEST_STEPS !== undefined)
        console.info(`${precision}: ${worst.toExponential(2)}`);
      expect(worst).toBeLessThan(allowed);
      await ours.dispose();
      await cpu.dispose();
      expect(gpu.ledger.count).toBe(count);
      await starter.close();
    },
  );
});
