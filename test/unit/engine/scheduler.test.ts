import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { argmax } from '../../../server/engine/sampler.ts';
import type {
  GenerateRequest,
  LanguageModel,
  SamplingOptions,
} from '../../../server/engine/language-model.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { openLanguageModel } from '../../../server/engine/open-language-model.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

const greedy: SamplingOptions = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const request = (prompt: number[], more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  prompt,
  maxTokens: 12,
  sampling: greedy,
  stop: [],
  stopIds: [],
  ...more,
});
const prompts = [[1, 5, 9], [7, 7, 3, 2, 11, 4], [20], [1, 5, 9, 13, 17, 21, 25]];

let folder: string;
let model: LanguageModel;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-scheduler-'));
  writeRandomCheckpoint(folder, { layout: 'onebit', maxPositions: 64, seed: 3 });
  model = await openLanguageModel(folder, { path: 'portable', exact: true, sequences: 2, queue: 3 });
});
afterAll(async () => {
  await model?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Greedy ids by calling the engine directly, one sequence, no scheduler. */
async function alone(prompt: number[], count: number): Promise<number[]> {
  const engine = await openEngine(folder, { path: 'portable', exact: true });
  const sequence = engine.open();
  const ids: number[] = [];
  let next = prompt;
  while (ids.length < count) {
    const [logits] = await engine.forward([{ sequence, tokens: next, logits: 'last' }]);
    const id = argmax(logits ?? new Float32Array(0));
    ids.push(id);
    next = [id];
  }
  await engine.dispose();
  return ids;
}

describe('scheduler', () => {
  test('requests that run together get what each gets alone', async () => {
    const expected = await Promise.all(prompts.map((prompt) => alone(prompt, 12)));
    const together = await Promise.all(prompts.map((prompt) => model.generate(request(prompt))));
    expect(together.map((result) => result.ids)).toEqual(expected);
    expect(together.map((result) => result.finishReason)).toEqual(['length', 'length', 'length', 'length']);
    expect([model.active, model.queued]).toEqual([0, 0]);
  });

  test('a prompt that continues an earlier one runs only its new tokens, with the same result', async () => {
    const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    const first = await model.generate(request(prompt, { maxTokens: 4 }));
    const longer = [...prompt, ...first.ids.slice(0, 2), 8];
    const second = await model.generate(request(longer, { maxTokens: 4 }));
    expect(second.timings.cachedTokens).toBe(longer.length - 1);
    expect(second.ids).toEqual(await alone(longer, 4));
    // The very same prompt again: all but its last token is in the cache.
    const again = await model.generate(request(longer, { maxTokens: 4 }));
    expect(again.timings.cachedTokens).toBe(longer.length - 1);
    expect(again.ids).toEqual(second.ids);
  });

  test('a prompt that shares its beginning with a running request costs only its new tokens', async () => {
    const prompt = Array.from({ length: 24 }, (_, i) => (7 * i) % 31);
    const first = model.generate(request(prompt, { maxTokens: 30 }), ({ ids }) => ids.length > 0 && begun());
    let begun = (): void => undefined;
    await new Promise<void>((resolve) => (begun = resolve));
    const branch = [...prompt.slice(0, 20), 2, 3];
    const second = await model.generate(request(branch, { maxTokens: 3 }));
    expect(second.timings.cachedTokens).toBe(20);
    expect(second.ids).toEqual(await alone(branch, 3));
    expect((await first).ids).toEqual(await alone(prompt, 30));
  });

  test('the same prompt asked twice at once runs once, unless the cache is not to be used', async () => {
    const ask = async (prompt: number[], reuseCache: boolean) => {
      const both = [0, 1].map(() => model.generate(request(prompt, { maxTokens: 3, reuseCache })));
      const [a, b] = await Promise.all(both);
      const expected = await alone(prompt, 3);
      expect([a?.ids, b?.ids]).toEqual([expected, expected]);
      return [a?.timings.cachedTokens, b?.timings.cachedTokens];
    };
    const prompt = Array.from({ length: 40 }, (_, i) => (11 * i + 5) % 31);
    expect(await ask(prompt, true)).toEqual([0, 39]);
    expect(await ask(prompt.toReversed(), false)).toEqual([0, 0]);
  });

  test('events carry the tokens one by one', async () => {
    const ids: number[] = [];
    const result = await model.generate(request([2, 4]), (event) => ids.push(...event.ids));
    expect(ids).toEqual(result.ids);
  });

  test('an abort ends the request within one token and leaves the others alone', async () => {
    const controller = new AbortController();
    let seen = 0;
    const [aborted, other] = await Promise.all([
      model.generate(
        request([6, 6, 6], { maxTokens: 50 }),
        () => {
          if (++seen === 3) controller.abort();
        },
        controller.signal,
      ),
      model.generate(request([1, 5, 9])),
    ]);
    expect(aborted.finishReason).toBe('cancelled');
    expect(aborted.ids).toHaveLength(3);
    expect(other.ids).toEqual(await alone([1, 5, 9], 12));
  });

  test('a request that comes in the moment in which the last one ends is served', async () => {
    const wanted = await alone([7, 2], 1);
    for (let moments = 0; moments < 20; moments++) {
      for (const isAborted of [false, true]) {
        const stop = new AbortController();
        const onToken = () => isAborted && stop.abort();
        await model.generate(request([5, 3], { maxTokens: isAborted ? 12 : 1 }), onToken, stop.signal);
        for (let i = 0; i < moments; i++) await Promise.resolve();
        expect((await model.generate(request([7, 2], { maxTokens: 1 }))).ids).toEqual(wanted);
      }
    }
  });

  test('an abort while waiting never starts', async () => {
    const controller = new AbortController();
    const running = prompts.slice(0, 2).map((prompt) => model.generate(request(prompt, { maxTokens: 20 })));
    const waiting = model.generate(request([1]), undefined, controller.signal);
    controller.abort();
    expect((await waiting).ids).toEqual([]);
    expect((await waiting).finishReason).toBe('cancelled');
    await Promise.all(running);
  });

  test('more requests than the queue holds are refused as busy', async () => {
    const accepted: Promise<unknown>[] = [];
    let refused: unknown;
    for (let i = 0; i < 10 && refused === undefined; i++) {
      try {
        const run = model.generate(request([i + 1], { maxTokens: 2 }));
        accepted.push(run.catch((error: unknown) => (refused ??= error)));
        await Promise.resolve();
      } catch (error) {
        refused = error;
      }
    }
    await Promise.all(accepted);
    expect(refused).toMatchObject({ code: 'busy' });
  });

  test('a stop id ends the text and is not part of it', async () => {
    const ids = await alone([1, 5, 9], 12);
    const stop = ids[4] ?? 0;
    const result = await model.generate(request([1, 5, 9], { stopIds: [stop] }));
    expect(result.ids).toEqual(ids.slice(0, ids.indexOf(stop)));
    expect(result.finishReason).toBe('stop');
  });

  test('no stop id is chosen before the least number of tokens', async () => {
    const ids = await alone([1, 5, 9], 12);
    const stop = ids[0] ?? 0;
    expect((await model.generate(request([1, 5, 9], { stopIds: [stop] }))).ids).toEqual([]);
    const result = await model.generate(request([1, 5, 9], { stopIds: [stop], minTokens: 7 }));
    expect(result.ids.length).toBeGreaterThanOrEqual(7);
    expect(result.ids).not.toContain(stop);
  });

  test('two windows find their prompts in the KV cache, whatever bulk clients ask for meanwhile', async () => {
    const shared = await openLanguageModel(folder, {
      path: 'portable',
      exact: true,
      sequences: 4,
      queue: 20,
    });
    try {
      const windows = [prompts[1] ?? [], [30, 29, 28, 27, 26, 25]];
      const ask = (prompt: number[], client: string) =>
        shared.generate(request(prompt, { maxTokens: 2, turn: { priority: 'editor', client } }));
      for (const [i, prompt] of windows.entries()) await ask(prompt, `w${i}`);
      // Others of few tokens, which share the first one.
      await ask([7, 1], 'w2');
      await ask([30, 1], 'w2');
      const bulk = Array.from({ length: 9 }, (_, i) => [i + 2, i + 12, i + 22, i + 3, i]);
      const flood = bulk.map((prompt, i) =>
        shared.generate(request(prompt, { maxTokens: 3, turn: { priority: 'bulk', client: `b${i}` } })),
      );
      const [first] = await Promise.all(flood.slice(0, 1));
      const answers = [];
      for (const [i, prompt] of windows.entries()) answers.push(await ask([...prompt, 1], `w${i}`));
      expect(answers.map(({ timings }) => timings.cachedTokens)).toEqual([6, 6]);
      expect(answers.map(({ ids }) => ids)).toEqual([
        await alone([...(windows[0] ?? []), 1], 2),
        await alone([...(windows[1] ?? []), 1], 2),
      ]);
      expect(first?.ids).toEqual(await alone(bulk[0] ?? [], 3));
      // One cache is left to the others: all of them come to an end.
      for (const [i, { ids }] of (await Promise.all(flood)).entries()) {
        expect(ids).toEqual(await alone(bulk[i] ?? [], 3));
      }
    } finally {
      await shared.dispose();
    }
  });

  test('the context ends a text that would not fit', async () => {
    const prompt = Array.from({ length: 60 }, (_, i) => i % 30);
    const result = await model.generate(request(prompt, { maxTokens: 50 }));
    expect(result.ids).toHaveLength(4);
    expect(result.finishReason).toBe('length');
  });

  test.each([
    ['an empty prompt', []],
    ['a token outside the vocabulary', [1_000_000]],
    ['a prompt longer than the context', Array.from({ length: 65 }, () => 1)],
  ])('%s is refused with a clear error', async (_name, prompt) => {
    await expect(model.generate(request(prompt))).rejects.toMatchObject({ code: 'bad-request' });
  });
});
