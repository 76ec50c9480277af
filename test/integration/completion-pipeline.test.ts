import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Completer } from '../../extension/completion/completer.ts';
import { advanced, type Cursor } from '../../extension/completion/cursor.ts';
import { trimCompletion } from '../../extension/completion/trim/trim-completion.ts';
import type { CompletionResult } from '../../server/protocol/completion.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import { cleanUp, connect, eventually, ServeProcess, tinyModel } from './serve-process.ts';

// The extension's pipeline, without VS Code, on a real server.

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });
afterAll(cleanUp);

const settings = {
  ...{
    debounceMs: 0,
    maxTokens: 48,
    inComments: true,
    timeBudgetMs: 60_000,
    prefetch: false,
    alternatives: 3,
  },
};

/** One window with its pipeline, on a server of its own. */
async function window(args: string[]) {
  const { file } = await ServeProcess.start(args);
  const client = await connect(file);
  const answers: CompletionResult[] = [];
  /** Requests that the server has not answered yet: now, and at most so far. */
  const open = { now: 0, most: 0 };
  const completer = new Completer({
    settings: () => settings,
    ready: () => Promise.resolve(),
    generate: async (request, onText, signal) => {
      open.most = Math.max(open.most, ++open.now);
      try {
        const answer = await client.complete(request, onText, signal);
        answers.push(answer);
        return answer;
      } finally {
        open.now--;
      }
    },
    related: () => Promise.resolve([]),
    began: () => () => {},
  });
  const ask = (cursor: Cursor, signal = new AbortController().signal, asked = false) =>
    completer.complete({ cursor, asked, on: true, selecting: false, suggesting: false, signal });
  return { file, client, completer, answers, open, ask };
}

function cursorIn(before: string, after = ''): Cursor {
  const line = before.split('\n').length - 1;
  return {
    document: 'file:///a.ts',
    path: 'a.ts',
    language: 'typescript',
    line,
    offset: before.length,
    before,
    after,
  };
}

const head = Array.from({ length: 30 }, (_, i) => `export const value${i} = compute(${i});\n`).join('');

describe('with the shipped model', () => {
  let at: Awaited<ReturnType<typeof window>>;
  beforeAll(async () => {
    at = await window(['--model', 'starter']);
  });

  it('shows what the server says, without what would not be inserted', async () => {
    const cursor = cursorIn(`${head}export const value30 = comp`);
    const [text] = await at.ask(cursor);
    const whole = await at.client.complete({ prefix: cursor.before, maxTokens: 48, singleLine: true });
    expect(text).toBe(trimCompletion(whole.text, cursor, { singleLine: true }));
    expect(text).toBeDefined();
  });

  it('finds nearly all of the next keystroke’s prompt in the KV cache', async () => {
    const cursor = cursorIn(`${head}const first = value1 + value2;\nconst other = `);
    await at.ask(cursor);
    await at.ask(advanced(cursor, 'q'));
    const { cachedTokens, promptTokens } = at.answers.at(-1)?.timings ?? { cachedTokens: 0, promptTokens: 1 };
    expect(promptTokens - cachedTokens).toBeLessThan(8);
  });

  it('has several texts where they are asked for, the most likely one first', async () => {
    const cursor = cursorIn(`${head}export function total(values: number[]) {\n  return `);
    const [first] = await at.ask(cursor);
    const texts = await at.ask(cursor, undefined, true);
    expect(texts[0]).toBe(first);
    expect(new Set(texts).size).toBe(texts.length);
    expect(texts.length).toBeGreaterThan(1);
  });
});

describe('with a model that never ends by itself', () => {
  let at: Awaited<ReturnType<typeof window>>;
  beforeAll(async () => {
    at = await window(['--model', tinyModel({ infill: true, maxPositions: 1024 })]);
  });
  const counter = async (file: ServerFile, name: string): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${file.port}/metrics`, {
      headers: { authorization: `Bearer ${file.token}` },
    });
    const line = (await response.text()).split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.split(' ')[1] ?? 0);
  };

  it('keeps prefix and suffix in the KV cache while a line is typed', async () => {
    const line = cursorIn(`${'x = 1;\n'.repeat(20)}const ab`, `\n${'y = 2;\n'.repeat(20)}`);
    await at.ask(line);
    await at.ask(advanced(line, '#'));
    const last = at.answers.at(-1);
    expect(last?.infilled).toBe(true);
    const { cachedTokens = 0, promptTokens = 0 } = last?.timings ?? {};
    // All but the line that is being typed.
    expect(promptTokens - cachedTokens).toBeLessThanOrEqual('const ab#'.length);
  });

  it('never has two completions at a time, shows none that was cancelled, and leaves the server idle', async () => {
    let late = 0;
    let last = new AbortController();
    let cursor = cursorIn('const a = ');
    for (let key = 0; key < 60; key++) {
      last.abort();
      const controller = new AbortController();
      last = controller;
      // The model does not say what is typed: every keystroke gives up what runs.
      cursor = advanced(cursor, String.fromCharCode(97 + (key % 26)));
      at.completer.changed(cursor);
      void at.ask(cursor, controller.signal).then((texts) => {
        if (controller.signal.aborted && texts.length > 0) late++;
      });
      await sleep(key % 3 === 0 ? 12 : 3);
    }
    await sleep(50);
    last.abort();
    at.completer.cancel();
    await eventually('the end of all', async () => {
      const { active, queued } = await at.client.request('model/status', {});
      return active + queued === 0 ? true : undefined;
    });
    expect(at.open).toEqual({ now: 0, most: 1 });
    expect(late).toBe(0);
    const cancelled = at.answers.filter(({ finishReason }) => finishReason === 'cancelled').length;
    expect(cancelled).toBeGreaterThan(0);
    expect(await counter(at.file, 'onebit_unwanted_tokens_total')).toBeLessThanOrEqual(cancelled);
  });
});
