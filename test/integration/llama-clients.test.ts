import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ServerClient } from '../../extension/server-link/server-client.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import { byteTokens } from '../reference/byte-tokenizer.ts';
import { cleanUp, connect, eventually, ServeProcess, tinyModel } from './serve-process.ts';

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let file: ServerFile;
let client: ServerClient;
let model: string;
/** A model without tokens for infilling, nor any that end a text. */
let plain: string;

beforeAll(async () => {
  model = tinyModel({ maxPositions: 1024 });
  plain = tinyModel({ maxPositions: 4096, infill: false });
  ({ file } = await ServeProcess.start(['--model', model]));
  client = await connect(file);
});
afterAll(cleanUp);

const ask = (
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> =>
  fetch(`http://127.0.0.1:${file.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${file.token}`, 'content-type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
async function answer<T>(path: string, body?: unknown): Promise<T> {
  const response = await ask(path, body);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as T;
}
/** The events of a stream, without `[DONE]`. */
async function events<T>(response: Response): Promise<T[]> {
  const parts = (await response.text())
    .split('\n\n')
    .filter((part) => part !== '' && part !== 'data: [DONE]');
  return parts.map((part) => JSON.parse(part.replace(/^data: /, '')) as T);
}

interface Completion {
  index: number;
  content: string;
  tokens: number[];
  stop: boolean;
  prompt: string;
  stop_type: string;
  stopping_word: string;
  tokens_cached: number;
  tokens_predicted: number;
  tokens_evaluated: number;
  generation_settings: Record<string, unknown>;
  timings: Record<string, number>;
}

describe('llama.vscode', () => {
  const infill = {
    id_slot: 0,
    input_prefix: 'function add(a, b) {\n',
    input_suffix: '}\n',
    input_extra: [{ text: 'const one = 1;\n', time: 1_700_000_000_000, filename: 'one.js' }],
    prompt: '  return ',
    n_predict: 24,
    n_cmpl: 3,
    top_k: 40,
    top_p: 0.99,
    stream: false,
    samplers: ['top_k', 'top_p', 'infill'],
    cache_prompt: true,
    t_max_prompt_ms: 500,
    t_max_predict_ms: 60_000,
  };
  const warmUp = {
    ...{ ...infill, input_prefix: '', input_suffix: '', prompt: '', n_predict: 0, samplers: [] },
    t_max_predict_ms: 1,
  };

  it('warms the server up', async () => {
    const [first] = await answer<Completion[]>('/infill', warmUp);
    expect(first).toMatchObject({ content: '', stop: true, tokens_predicted: 0 });
  });

  it('gets alternatives for the gap, the most likely first, with the figures that it shows', async () => {
    const all = await answer<Completion[]>('/infill', infill);
    expect(all.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(all.map(({ content }) => content)).size).toBeGreaterThan(1);
    const [first] = all as [Completion];
    expect(first.prompt).toBe(
      '// one.js\nconst one = 1;\n<|fim_prefix|>function add(a, b) {\n<|fim_suffix|>}\n<|fim_middle|>  return',
    );
    expect(first).toMatchObject({ stop: true, stop_type: 'limit', tokens_predicted: 24 });
    expect(first.generation_settings).toMatchObject({ n_ctx: 1024, n_predict: 24, top_k: 40, top_p: 0.99 });
    expect(first.tokens_cached).toBe(first.tokens_evaluated + 23);
    for (const name of ['n', 'ms', 'per_second'].flatMap((part) => [`prompt_${part}`, `predicted_${part}`])) {
      expect(first.timings[name], name).toBeGreaterThan(0);
    }
    // One alternative is an object, and the first is the same whatever the others drew.
    const one = await answer<Completion>('/infill', { ...infill, n_cmpl: 1 });
    expect(one.content).toBe(first.content);
    const whole = await client.complete({
      ...{ prefix: `${infill.input_prefix}  return `, suffix: infill.input_suffix, maxTokens: 1 },
    });
    expect(whole.infilled).toBe(true);
  });

  it('finds the suffix in the KV cache while the line is typed, unless it asks for none', async () => {
    const ms = { ...infill, n_cmpl: 1, n_predict: 2 };
    const typed = await answer<Completion>('/infill', { ...ms, prompt: '  return a' });
    const more = await answer<Completion>('/infill', { ...ms, prompt: '  return a+b' });
    expect(more.timings.cache_n).toBe(typed.tokens_evaluated);
    expect(more.timings.prompt_n).toBe(2);
    const fresh = await answer<Completion>('/infill', { ...ms, prompt: '  return a+b', cache_prompt: false });
    expect(fresh.timings).toMatchObject({ cache_n: 0, prompt_n: more.tokens_evaluated });
    expect(fresh.content).toBe(more.content);
  });

  it('completes from the prefix where the model cannot infill, and says so; 501 only if it must infill', async () => {
    expect((await ask('/infill', infill)).headers.get('x-onebit-infill')).toBe('suffix');
    await client.request('model/load', { model: plain });
    const response = await ask('/infill', infill);
    expect(response.headers.get('x-onebit-infill')).toBe('prefix');
    const [first] = (await response.json()) as [Completion];
    expect(first.prompt).toBe('// one.js\nconst one = 1;\nfunction add(a, b) {\n  return');
    expect((await ask('/infill', { ...warmUp, input_extra: [], n_cmpl: undefined })).status).toBe(200);
    const strict = await ask('/infill', infill, { prefer: 'handling=strict' });
    expect(strict.status).toBe(501);
    expect(await strict.json()).toMatchObject({ error: { code: 501, type: 'not_supported_error' } });
    await client.request('model/load', { model });
  });

  it('has its time limit take effect after a line’s end only', async () => {
    await client.request('model/load', { model: plain });
    // Nearly evenly drawn bytes: a line ends every 264 of them on average.
    const body = { prompt: 'x', n_predict: 4000, temperature: 5, top_k: 0, top_p: 1, min_p: 0, seed: 3 };
    const result = await answer<Completion>('/completion', { ...body, t_max_predict_ms: 1 });
    expect(result.content.indexOf('\n')).toBe(result.content.length - 1);
    expect(result).toMatchObject({ stop_type: 'limit', has_new_line: true });
    const indented = await answer<Completion>('/completion', { ...body, n_predict: 1500, n_indent: 1000 });
    expect(indented.content).not.toContain('\n');
    await client.request('model/load', { model });
  });

  it('budgets with /props, /tokenize and /detokenize', async () => {
    const props = await answer<{ default_generation_settings: { n_ctx: number } }>('/props');
    expect(props.default_generation_settings.n_ctx).toBe(1024);
    expect(props).toMatchObject({ model_path: model, chat_template: '', total_slots: 4 });
    const text = 'let s = "é ✓";<|fim_middle|>\n';
    const { tokens } = await answer<{ tokens: number[] }>('/tokenize', { content: text });
    expect(tokens).toContain(byteTokens.middle);
    expect((await answer<{ content: string }>('/detokenize', { tokens })).content).toBe(text);
    const asText = await answer<{ tokens: number[] }>('/tokenize', { content: text, parse_special: false });
    expect(asText.tokens).toEqual([...Buffer.from(text)]);
    expect(await answer('/tokenize', { content: 'aé', with_pieces: true })).toEqual({
      tokens: [
        { id: 97, piece: 'a' },
        { id: 0xc3, piece: [0xc3] },
        { id: 0xa9, piece: [0xa9] },
      ],
    });
    expect((await ask('/detokenize', { tokens: [9999] })).status).toBe(400);
    expect((await ask('/apply-template', { messages: [{ role: 'user', content: 'a' }] })).status).toBe(400);
  });
});

describe('Continue and Twinny', () => {
  it('stream /completion, and what they get adds up to the whole text', async () => {
    const twinny = { prompt: 'if (x', max_tokens: 16, temperature: 0.2, seed: 11 };
    const whole = await answer<Completion>('/completion', { ...twinny, stream: false, return_tokens: true });
    const parts = await events<Completion>(await ask('/completion', { ...twinny, stream: true }));
    expect(parts.map(({ content }) => content).join('')).toBe(whole.content);
    expect(parts.flatMap(({ tokens }) => tokens)).toEqual(whole.tokens);
    expect(parts.map(({ stop }) => stop)).toEqual([...Array<boolean>(parts.length - 1).fill(false), true]);
    expect(parts.at(-1)).toMatchObject({ stop_type: 'limit', tokens_predicted: 16 });
    const stop = whole.content.slice(3, 5);
    expect(await answer('/completion', { ...twinny, stop: [stop] })).toMatchObject({
      content: whole.content.slice(0, whole.content.indexOf(stop)),
      stop_type: 'word',
      stopping_word: stop,
    });
  });

  it('autocomplete through /v1/completions with the tokens’ names in the prompt, as well as by a suffix', async () => {
    const body = {
      model,
      prompt: '<|fim_prefix|>function f() {\n  return<|fim_suffix|>\n}\n<|fim_middle|>',
      max_tokens: 12,
      temperature: 0,
      stop: ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>', '<|endoftext|>', '\n\n'],
      stream: true,
    };
    interface Chunk {
      choices: { text: string }[];
    }
    const text = (chunks: Chunk[]): string => chunks.map(({ choices }) => choices[0]?.text ?? '').join('');
    const named = text(await events<Chunk>(await ask('/v1/completions', body)));
    expect(named).not.toBe('');
    const suffix = { ...body, prompt: 'function f() {\n  return', suffix: '\n}\n' };
    expect(text(await events<Chunk>(await ask('/v1/completions', suffix)))).toBe(named);
  });
});

describe('every route', () => {
  it('draws the same text with the same seed', async () => {
    const seeded = { temperature: 0.9, top_k: 30, top_p: 0.95, min_p: 0.02, seed: 5 };
    const native = await answer<Completion>('/completion', { prompt: 'let y =', n_predict: 20, ...seeded });
    const openai = await answer<{ choices: { text: string }[] }>('/v1/completions', {
      ...{ prompt: 'let y =', max_tokens: 20, ...seeded },
    });
    const editor = await client.complete({
      ...{ prefix: 'let y =', suffix: '', maxTokens: 20, seed: 5 },
      ...{ temperature: 0.9, topK: 30, topP: 0.95, minP: 0.02 },
    });
    expect(openai.choices[0]?.text).toBe(native.content);
    expect(editor.text).toBe(native.content);
    expect(native.generation_settings).toMatchObject({ seed: 5, temperature: 0.9, top_k: 30, min_p: 0.02 });
    const other = await answer<Completion>('/completion', {
      prompt: 'let y =',
      n_predict: 20,
      ...seeded,
      seed: 6,
    });
    expect(other.content).not.toBe(native.content);
    const several = await answer<Completion[]>('/completion', {
      ...{ prompt: ['let y =', [108, 101, 't y ='], { prompt_string: 'let y =' }], n_predict: 20, ...seeded },
    });
    expect(several.map(({ content }) => content)).toEqual(Array<string>(3).fill(native.content));
  });

  it('that is polled does not wake a model', async () => {
    await client.request('model/unload', {});
    for (const path of ['/health', '/v1/health', '/metrics', '/props', '/v1/models']) {
      expect((await ask(path)).status, path).toBe(200);
    }
    expect((await client.request('model/status', {})).state).toBe('unloaded');
  });

  it('refuses what it cannot do, in the shape of llama.cpp', async () => {
    const huge = Array<number>(3_000_000).fill(1);
    const refusals: [string, unknown, string][] = [
      ['/completion', { prompt: 'a', grammar: 'root ::= "a"' }, 'grammar: not supported'],
      ['/completion', { prompt: 'a', stop: huge }, 'stop'],
      ['/completion', { prompt: 'a', stop: ['x'.repeat(201)] }, 'stop'],
      ['/completion', { prompt: [huge] }, 'prompt: must be text'],
      ['/completion', { prompt: 'x'.repeat(2000) }, '2000 tokens and the context holds 1024'],
      ['/completion', {}, 'prompt'],
      ['/infill', { input_prefix: 5 }, 'input_prefix'],
      ['/infill', { input_extra: huge }, 'input_extra: must be a list of at most 256'],
      ['/infill', { t_max_predict_ms: 1e9 }, 't_max_predict_ms'],
    ];
    for (const [path, body, words] of refusals) {
      const response = await ask(path, body);
      const { error } = (await response.json()) as { error: { message: string } };
      expect(error).toMatchObject({ code: 400, type: 'invalid_request_error' });
      expect(error.message).toContain(words);
    }
    const form = await ask('/completion', { prompt: 'a' }, { 'content-type': 'text/plain' });
    expect(await form.json()).toMatchObject({
      error: { message: expect.stringContaining('application/json') },
    });
    expect((await ask('/infill', {}, { 'x-onebit-priority': 'first' })).status).toBe(400);
  });
});

describe('a busy server', () => {
  beforeAll(async () => {
    await client.request('model/load', { model: plain });
  });
  const outcome = async (name: string): Promise<number> => {
    const text = await (await ask('/metrics')).text();
    return Number(new RegExp(`onebit_completions_total\\{outcome="${name}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
  };
  const idle = (): Promise<unknown> =>
    eventually('the end of the generations', async () => {
      const { active, queued } = await client.request('model/status', {});
      return active + queued === 0 ? true : undefined;
    });

  it('serves an editor before bulk clients, and one bulk client cannot fill the queue', async () => {
    const leave = new AbortController();
    let ended = 0;
    const flood = Array.from({ length: 40 }, async () => {
      const response = await ask('/completion', { prompt: 'b', n_predict: 4000 }, {}, leave.signal);
      if (response.status === 503) return response;
      ended++;
      return undefined;
    });
    const refused = await Promise.any(
      flood.map(async (each) => (await each) ?? Promise.reject(new Error('was not refused'))),
    );
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ error: { code: 503, type: 'unavailable_error' } });
    const infill = await answer<Completion>('/infill', {
      input_prefix: 'a',
      n_predict: 20,
      samplers: ['infill'],
    });
    expect(infill.tokens_predicted).toBe(20);
    expect(ended).toBe(0);
    leave.abort();
    await Promise.allSettled(flood);
    await idle();
  });

  it('gives up a client that does not read, and stops its generation', async () => {
    const before = await outcome('cancelled');
    const socket = connectSocket(file.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.pause();
    socket.on('error', () => {});
    // A hundred probabilities a token: more than the system's own buffers take.
    const body = JSON.stringify({ prompt: 's', n_predict: 4000, n_probs: 100, stream: true });
    socket.write(
      `POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${file.token}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await eventually('its end', async () => ((await outcome('cancelled')) > before ? true : undefined));
    socket.destroy();
    await idle();
  });
});
