import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, EngineStep, Sequence } from '../../../server/engine/engine.ts';
import { FallbackEngine } from '../../../server/engine/fallback-engine.ts';
import type { GenerateRequest } from '../../../server/engine/language-model.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { Scheduler } from '../../../server/engine/scheduler.ts';
import { OneBitError, type ErrorCode } from '../../../server/protocol/error.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

const cpu = { path: 'portable', device: 'cpu', sequences: 3 } as const;
const request = (prompt: number[], maxTokens = 12): GenerateRequest => ({
  prompt,
  maxTokens,
  sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
  stop: [],
  stopIds: [],
});
const prompts = [[1, 5, 9], [7, 7, 3, 2, 11, 4], [20]];

let folder: string;
const open: Engine[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-fallback-'));
  writeRandomCheckpoint(folder, { layout: 'onebit', maxPositions: 64, seed: 3 });
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((engine) => engine.dispose()));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A real engine that is lost at its n-th step, as a device would be: afterwards nothing works on it. */
class LostEngine implements Engine {
  readonly config;
  readonly contextLength;
  disposed = false;
  copied = 0;

  constructor(
    private readonly engine: Engine,
    private stepsLeft: number,
    private readonly code: ErrorCode = 'gpu-lost',
  ) {
    this.config = engine.config;
    this.contextLength = engine.contextLength;
  }

  memory() {
    return this.engine.memory();
  }

  open(): Sequence {
    return this.engine.open();
  }

  async forward(steps: EngineStep[], signal?: AbortSignal): Promise<Float32Array[]> {
    if (this.stepsLeft-- <= 0) throw new OneBitError(this.code, 'The card fell off the bus.');
    return this.engine.forward(steps, signal);
  }

  async copyPositions(from: Sequence, to: Sequence, end: number): Promise<void> {
    if (this.stepsLeft-- <= 0) throw new OneBitError(this.code, 'The card fell off the bus.');
    await this.engine.copyPositions?.(from, to, end);
    this.copied += end;
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    await this.engine.dispose();
  }
}

async function fallback(stepsLeft: number, code?: ErrorCode, failed?: Promise<OneBitError>) {
  const lost = new LostEngine(await openEngine(folder, cpu), stepsLeft, code);
  const messages: string[] = [];
  let backups = 0;
  const engine = new FallbackEngine(lost, {
    reason: 'asked for with gpu',
    failed,
    openBackup: (_reason, signal) => {
      backups++;
      return openEngine(folder, cpu, { signal });
    },
    onMoved: (message) => messages.push(message),
  });
  open.push(engine);
  return { engine, lost, messages, backups: () => backups };
}

async function generate(engine: Engine, requests: GenerateRequest[]): Promise<number[][]> {
  const scheduler = new Scheduler(engine, undefined, { sequences: 3, queue: 8 });
  const results = await Promise.all(requests.map((one) => scheduler.submit(one)));
  await scheduler.dispose();
  return results.map(({ ids }) => ids);
}

describe('an engine whose device is lost', () => {
  // Lost at the first step, at the copy, at the step after it, and not at all.
  it.each([0, 1, 2, 9])('goes on from what another sequence holds, lost after %i steps', async (steps) => {
    const plain = await openEngine(folder, cpu);
    open.push(plain);
    const tokens = [1, 5, 9, 7, 2];
    const [expected] = await plain.forward([{ sequence: plain.open(), tokens, logits: 'last' }]);
    const { engine, lost, messages } = await fallback(steps);
    const [first, second] = [engine.open(), engine.open()];
    await engine.forward([{ sequence: first, tokens: tokens.slice(0, 4), logits: 'none' }]);
    await engine.copyPositions(first, second, 3);
    expect(second.length).toBe(3);
    const [logits] = await engine.forward([{ sequence: second, tokens: tokens.slice(3), logits: 'last' }]);
    expect([...(logits ?? [])]).toEqual(
      [...(expected ?? [])].map((value) => expect.closeTo(value, 4) as number),
    );
    expect([lost.copied, messages.length]).toEqual([steps > 1 ? 3 : 0, steps < 9 ? 1 : 0]);
    await expect(engine.copyPositions(second, first, 20)).rejects.toMatchObject({ code: 'internal' });
  });

  it.each([0, 1, 5])('goes on with the same tokens after %i steps', async (steps) => {
    const plain = await openEngine(folder, cpu);
    open.push(plain);
    const expected = await generate(
      plain,
      prompts.map((prompt) => request(prompt)),
    );
    const { engine, lost, messages, backups } = await fallback(steps);
    expect(engine.memory().device.reason).toBe('asked for with gpu');
    const ids = await generate(
      engine,
      prompts.map((prompt) => request(prompt)),
    );
    expect(ids).toEqual(expected);
    expect([backups(), lost.disposed, messages.length]).toEqual([1, true, 1]);
    expect(messages[0]).toMatch(/fell off the bus.*goes on with the CPU/);
    expect(engine.memory().device.reason).toMatch(/^moved from .*fell off the bus/);
  });

  it('moves as well when an allocation fails, and not for what the request did wrong', async () => {
    const memory = await fallback(1, 'out-of-memory');
    expect((await generate(memory.engine, [request([3, 4])]))[0]).toHaveLength(12);
    expect(memory.backups()).toBe(1);

    const bad = await fallback(9);
    const sequence = bad.engine.open();
    await expect(bad.engine.forward([{ sequence, tokens: [-1], logits: 'last' }])).rejects.toMatchObject({
      code: 'bad-request',
    });
    const abort = new AbortController();
    abort.abort();
    await expect(
      bad.engine.forward([{ sequence, tokens: [1], logits: 'last' }], abort.signal),
    ).rejects.toMatchObject({ code: 'cancelled' });
    expect([bad.backups(), sequence.length]).toEqual([0, 0]);
  });

  it('keeps what a sequence was cut to', async () => {
    const { engine } = await fallback(2);
    const plain = await openEngine(folder, cpu);
    open.push(plain);
    const logits: number[][] = [];
    for (const it of [engine, plain]) {
      const sequence = it.open();
      await it.forward([{ sequence, tokens: [1, 2, 3, 4, 5, 6], logits: 'none' }]);
      sequence.truncate(4);
      await it.forward([{ sequence, tokens: [9], logits: 'none' }]);
      // Here the first one moves, and has five tokens to run again.
      const [last] = await it.forward([{ sequence, tokens: [8, 7], logits: 'last' }]);
      expect(sequence.length).toBe(7);
      logits.push([...(last ?? [])]);
    }
    expect(logits[0]).toEqual(logits[1]);
  });

  it('moves before the next request when the device fails while nothing runs', async () => {
    let resolve = (_error: OneBitError): void => {};
    const promise = new Promise<OneBitError>((settle) => (resolve = settle));
    const { engine, backups } = await fallback(99, 'gpu-lost', promise);
    const sequence = engine.open();
    await engine.forward([{ sequence, tokens: [1, 2, 3], logits: 'none' }]);
    resolve(new OneBitError('gpu-lost', 'The card fell off the bus.'));
    await promise;
    const [logits] = await engine.forward([{ sequence, tokens: [4], logits: 'last' }]);
    expect([backups(), logits?.length, sequence.length]).toEqual([1, engine.config.vocabSize, 4]);
    expect(engine.memory().device.reason).toContain('moved from');
  });

  it('tells why the CPU cannot take over, and tries again with the next request', async () => {
    const lost = new LostEngine(await openEngine(folder, cpu), 0);
    let tries = 0;
    const engine = new FallbackEngine(lost, {
      reason: '',
      openBackup: (_reason, signal) =>
        ++tries === 1
          ? Promise.reject(new OneBitError('out-of-memory', 'No memory either.'))
          : openEngine(folder, cpu, { signal }),
      onMoved: () => {},
    });
    open.push(engine);
    const sequence = engine.open();
    const step: EngineStep[] = [{ sequence, tokens: [4], logits: 'last' }];
    await expect(engine.forward(step)).rejects.toThrow('No memory either.');
    expect(await engine.forward(step)).toHaveLength(1);
  });
});
