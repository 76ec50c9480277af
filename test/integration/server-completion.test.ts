import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ServerClient } from '../../extension/server-link/server-client.ts';
import { completionResultSchema } from '../../server/protocol/completion.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import { OneBitError } from '../../server/protocol/error.ts';
import type { ModelStatus } from '../../server/protocol/model.ts';
import { byteTokens } from '../reference/byte-tokenizer.ts';
import { cleanUp, connect, eventually, ServeProcess, temporaryFolder, tinyModel } from './serve-process.ts';

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let file: ServerFile;
let client: ServerClient;
let model: string;

beforeAll(async () => {
  model = tinyModel();
  ({ file } = await ServeProcess.start(['--model', model]));
  client = await connect(file);
});
afterAll(cleanUp);

const headers = (): Record<string, string> => ({
  authorization: `Bearer ${file.token}`,
  'content-type': 'application/json',
});
const post = (body: unknown, signal?: AbortSignal): Promise<Response> =>
  fetch(`http://127.0.0.1:${file.port}/v1/completions`, {
    method: 'POST',
    headers: headers(),
    body: JSON.stringify(body),
    signal,
  });
async function generatedTokens(): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${file.port}/metrics`, { headers: headers() })).text();
  return Number(/onebit_tokens_total\{kind="generated"\} (\d+)/.exec(text)?.[1] ?? 0);
}
const idle = (): Promise<ModelStatus> =>
  eventually('the end of the generation', async () => {
    const status = await client.request('model/status', {});
    return status.active === 0 && status.queued === 0 ? status : undefined;
  });

describe('completion over WebSocket', () => {
  it('loads the model at the first completion, streams the text and answers with all of it', async () => {
    expect((await client.request('model/status', {})).state).toBe('none');
    const pieces: string[] = [];
    const result = await client.complete({ prefix: 'const a = ', suffix: ';\n', maxTokens: 12 }, (text) =>
      pieces.push(text),
    );
    completionResultSchema.parse(result);
    expect(result.finishReason).toBe('length');
    expect(result.timings.completionTokens).toBe(12);
    // A byte a token, prefix and suffix, and the three tokens between them; the space before the gap is left out.
    expect(result.timings.promptTokens).toBe('const a ='.length + ';\n'.length + 3);
    expect(result.infilled).toBe(true);
    expect(result.model).toBe(model);
    expect(pieces.join('')).toBe(result.text);
    expect(pieces.length).toBeGreaterThan(1);
    const status = await client.request('model/status', {});
    expect(status).toMatchObject({
      state: 'ready',
      active: 0,
      queued: 0,
      model: { path: model, infill: true },
    });
    expect(status.memory?.modelBytes).toBeGreaterThan(0);
  });

  it('gives the same greedy text again, from the KV cache', async () => {
    const request = { prefix: 'let total = 0;\nfor (', suffix: ') {}\n', maxTokens: 8 };
    const first = await client.complete(request);
    const second = await client.complete(request);
    expect(second.text).toBe(first.text);
    expect(second.timings.cachedTokens).toBe(second.timings.promptTokens - 1);
  });

  it('answers two clients at once, each with its own text', async () => {
    const other = await connect(file);
    const ask = (from: ServerClient, prefix: string) => from.complete({ prefix, suffix: '', maxTokens: 40 });
    const [alone1, alone2] = [await ask(client, 'first'), await ask(other, 'second')];
    const [together1, together2] = await Promise.all([ask(client, 'first'), ask(other, 'second')]);
    expect(together1.text).toBe(alone1.text);
    expect(together2.text).toBe(alone2.text);
    expect(together1.text).not.toBe(together2.text);
    await other.close();
  });

  it('drops what does not fit far from the gap', async () => {
    const contextLength = (await client.request('model/status', {})).memory?.contextLength ?? 0;
    const long = { prefix: 'p'.repeat(20_000), suffix: 's'.repeat(20_000) };
    const result = await client.complete({ ...long, maxTokens: 8 });
    expect(result.timings.promptTokens).toBeLessThanOrEqual(contextLength - 8);
    expect(result.timings.promptTokens).toBeGreaterThan(contextLength * 0.8);
  });

  it('names the field that does not fit', async () => {
    const error = await client
      .request('completion', { id: 'a', prefix: 'x', temperature: -1 })
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OneBitError);
    expect(error).toMatchObject({ code: 'bad-request', message: expect.stringContaining('temperature') });
  });

  it('tokenizes', async () => {
    expect((await client.request('tokenize', { text: 'ab<|fim_prefix|>' })).ids.slice(0, 3)).toEqual([
      97, 98, 60,
    ]);
  });
});

describe('a generation that nobody wants any more', () => {
  // Without tokens that end a text it would go on for thousands of tokens.
  beforeAll(async () => {
    await client.request('model/load', { model: tinyModel({ infill: false, maxPositions: 4096 }) });
  });
  afterAll(async () => {
    await client.request('model/load', { model });
  });

  it('stops when the request is cancelled, and answers with the text so far', async () => {
    const stop = new AbortController();
    let streamed = '';
    const result = await client.complete(
      { prefix: 'x', maxTokens: 4000, suffix: '' },
      (text) => {
        streamed += text;
        stop.abort();
      },
      stop.signal,
    );
    expect(result.finishReason).toBe('cancelled');
    expect(result.timings.completionTokens).toBeLessThan(4000);
    expect(result.text).toBe(streamed);
    expect((await idle()).active).toBe(0);
  });

  it('stops a generation whose client has gone', async () => {
    const before = await generatedTokens();
    const leaver = await connect(file);
    const answer = leaver.complete({ prefix: 'y', maxTokens: 4000, suffix: '' }, () => void leaver.close());
    await expect(answer).rejects.toMatchObject({ code: 'disconnected' });
    await idle();
    expect((await generatedTokens()) - before).toBeLessThan(4000);
  });

  it('stops when the client goes away in mid-stream', async () => {
    const before = await generatedTokens();
    const leave = new AbortController();
    const response = await post({ prompt: 'z', max_tokens: 4000, stream: true }, leave.signal);
    await response.body?.getReader().read();
    leave.abort();
    await idle();
    expect((await generatedTokens()) - before).toBeLessThan(4000);
  });

  it('is not piled up without end: more than the queue holds is refused, with the time to try again', async () => {
    const leave = new AbortController();
    const all = Array.from({ length: 100 }, async () => {
      const response = await post({ prompt: 'q', max_tokens: 4000 }, leave.signal);
      return response.status === 503 ? response : Promise.reject(new Error(`status ${response.status}`));
    });
    const refused = await Promise.any(all);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ error: { code: 'busy', type: 'unavailable_error' } });
    leave.abort();
    await Promise.allSettled(all);
    await idle();
  });
});

describe('models', () => {
  it('says what a folder lacks, keeps the model that was in use, and unloads and comes back on demand', async () => {
    const nowhere = join(temporaryFolder('models'), 'nowhere');
    await expect(client.request('model/load', { model: nowhere })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining(nowhere),
    });
    await expect(client.request('model/load', { model: 'relative' })).rejects.toMatchObject({
      code: 'bad-request',
    });
    expect((await client.request('model/status', {})).state).toBe('ready');
    expect((await client.request('model/unload', {})).state).toBe('unloaded');
    const result = await client.complete({ prefix: 'x', suffix: '', maxTokens: 1 });
    expect(result.model).toBe(model);
    expect((await client.request('model/status', {})).state).toBe('ready');
  });

  it('tells subscribers of the loading, lists what was loaded, and switches', async () => {
    const other = tinyModel({ seed: 7, infill: false });
    const states: ModelStatus[] = [];
    const listening = client.onNotification('model/changed', (status) => states.push(status));
    await client.request('subscribe', { topics: ['model'] });
    const status = await client.request('model/load', { model: other, contextLength: 128 });
    expect(status).toMatchObject({ state: 'ready', model: { path: other, infill: false } });
    expect(status.memory?.contextLength).toBe(128);
    await eventually('model/changed', () => states.find((seen) => seen.model?.path === other));
    await client.request('subscribe', { topics: [] });
    listening.dispose();
    expect((await client.request('model/list', {})).map(({ path }) => path)).toContain(other);
    const result = await client.complete({ prefix: 'abc', suffix: 'def', maxTokens: 2 });
    expect(result).toMatchObject({ infilled: false, model: other });
    expect(result.timings.promptTokens).toBe(3);
    await client.request('model/load', { model });
  });

  it('tells subscribers of the memory when a model comes and goes', async () => {
    const seen: number[] = [];
    const listening = client.onNotification('memory/changed', ({ model: { memory } }) =>
      seen.push(memory?.modelBytes ?? 0),
    );
    await client.request('subscribe', { topics: ['memory'] });
    await eventually('memory with the model', () => seen.find((bytes) => bytes > 0));
    await client.request('model/unload', {});
    await eventually('memory without the model', () => (seen.at(-1) === 0 ? true : undefined));
    await client.request('subscribe', { topics: [] });
    listening.dispose();
  });
});

describe('HTTP', () => {
  it('completes in the shape of OpenAI', async () => {
    const response = await post({ prompt: 'let x', max_tokens: 5, temperature: 0 });
    expect(response.status).toBe(200);
    const body = (await response.json()) as Record<string, unknown>;
    expect(body).toMatchObject({
      object: 'text_completion',
      model,
      choices: [{ index: 0, finish_reason: 'length', logprobs: null }],
      usage: { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 },
    });
    const over = await client.complete({ prefix: 'let x', suffix: 'unused', maxTokens: 5 });
    expect(over.timings.promptTokens).toBe(5 + 6 + 3);
  });

  it('streams the same text as server-sent events, ended by [DONE]', async () => {
    const request = { prompt: 'if (', suffix: ') {}', max_tokens: 6, temperature: 0 };
    const whole = (await (await post(request)).json()) as { choices: [{ text: string }] };
    const response = await post({ ...request, stream: true, stream_options: { include_usage: true } });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const events = (await response.text()).split('\n\n').filter((event) => event !== '');
    expect(events.every((event) => event.startsWith('data: '))).toBe(true);
    expect(events.at(-1)).toBe('data: [DONE]');
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)) as ChunkBody);
    expect(chunks.map(({ choices }) => choices[0]?.text ?? '').join('')).toBe(whole.choices[0].text);
    expect(chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? [])).toEqual(['length']);
    expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 4 + 4 + 3, completion_tokens: 6 });
  });

  it('takes token ids as a prompt, and refuses those outside the vocabulary', async () => {
    const response = await post({ prompt: [byteTokens.prefix, 97, byteTokens.middle], max_tokens: 1 });
    expect(await response.json()).toMatchObject({ usage: { prompt_tokens: 3 } });
    const refused = await post({ prompt: [99_999], max_tokens: 1 });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { code: 'bad-request' } });
  });

  it('refuses what it cannot do, naming the field', async () => {
    const refusals: [unknown, number, string][] = [
      [{ prompt: 'a', n: 2, best_of: 5 }, 400, 'best_of: not supported'],
      [{ max_tokens: 1 }, 400, 'prompt'],
      [{ prompt: 'a', model: 'gpt-4' }, 404, 'gpt-4'],
    ];
    for (const [body, status, words] of refusals) {
      const response = await post(body);
      expect(response.status).toBe(status);
      expect(((await response.json()) as { error: { message: string } }).error.message).toContain(words);
    }
  });

  it('lists the models', async () => {
    const response = await fetch(`http://127.0.0.1:${file.port}/v1/models`, { headers: headers() });
    const { object, data } = (await response.json()) as { object: string; data: { id: string }[] };
    expect(object).toBe('list');
    expect(data.map(({ id }) => id)).toContain(model);
  });
});

interface ChunkBody {
  choices: { text: string; finish_reason: string | null }[];
  usage?: unknown;
}
