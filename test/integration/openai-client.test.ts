import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openEngine } from '../../server/engine/open-engine.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import { byteTokens } from '../reference/byte-tokenizer.ts';
import { cleanUp, connect, eventually, ServeProcess, tinyModel } from './serve-process.ts';

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

// Turns begin with special tokens, so that a name taken for text would show in the counts.
const template =
  "{% for m in messages %}{{ '<|fim_prefix|>' + m.role + ':' + m.content }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|fim_suffix|>' }}{% endif %}";

let file: ServerFile;
let openai: OpenAI;
let model: string;
/** A model without a chat template that goes on until it is stopped. */
let endless: string;

beforeAll(async () => {
  model = tinyModel({ maxPositions: 512 });
  writeFileSync(join(model, 'tokenizer_config.json'), JSON.stringify({ chat_template: template }));
  endless = tinyModel({ maxPositions: 4096, infill: false });
  ({ file } = await ServeProcess.start(['--model', model, '--exact']));
  const client = await connect(file);
  await client.request('model/load', { model: endless });
  await client.request('model/load', { model });
  await client.close();
  openai = new OpenAI({ apiKey: file.token, baseURL: `http://127.0.0.1:${file.port}/v1`, maxRetries: 0 });
});
afterAll(cleanUp);

const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
  const response = await fetch(`http://127.0.0.1:${file.port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${file.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Record<string, unknown>;
};
const sampled = { temperature: 0.8, top_p: 0.9, seed: 7 };

describe('the openai package', () => {
  it('lists and retrieves models', async () => {
    const ids: string[] = [];
    for await (const each of openai.models.list()) ids.push(each.id);
    expect(ids).toEqual(expect.arrayContaining([model, endless]));
    expect((await openai.models.retrieve(model)).id).toBe(model);
    await expect(openai.models.retrieve('gpt-4')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('completes, and streams the same text with the same usage', async () => {
    const request = { model, prompt: ['let x', 'for ('], max_tokens: 12, n: 2, ...sampled };
    const whole = await openai.completions.create(request);
    expect(whole.choices.map(({ index, finish_reason: reason }) => [index, reason])).toEqual(
      [0, 1, 2, 3].map((index) => [index, 'length']),
    );
    expect(whole.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 48, total_tokens: 58 });
    // Another of the texts of a prompt has another seed.
    expect(whole.choices[1]?.text).not.toBe(whole.choices[0]?.text);
    const texts = ['', '', '', ''];
    let usage: unknown;
    const stream = await openai.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      for (const { index, text } of chunk.choices) texts[index] += text;
      usage = chunk.usage ?? usage;
    }
    expect(texts).toEqual(whole.choices.map(({ text }) => text));
    expect(usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 48 });
  });

  it('stops before a stop string, echoes the prompt, takes tokens', async () => {
    const request = { model, prompt: 'abc', max_tokens: 40, temperature: 0 };
    const free = (await openai.completions.create(request)).choices[0]?.text ?? '';
    const stop = free.slice(4, 6);
    const stopped = (await openai.completions.create({ ...request, stop: [stop], echo: true })).choices[0];
    expect(stopped).toMatchObject({ text: `abc${free.slice(0, free.indexOf(stop))}`, finish_reason: 'stop' });
    const tokens = await openai.completions.create({ ...request, prompt: [97, 98, 99] });
    expect(tokens.choices[0]?.text).toBe(free);
  });

  it('chats through the template, whole and streamed, as the rendered prompt is completed', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'H' },
          { type: 'text', text: 'i' },
        ],
      },
    ];
    const request = { model, messages, max_completion_tokens: 10, ...sampled };
    const whole = await openai.chat.completions.create(request);
    const rendered = `<|fim_prefix|>system:Be brief.<|fim_prefix|>user:Hi<|fim_suffix|>`;
    expect((await post('/apply-template', { messages })).prompt).toBe(rendered);
    expect(whole.usage?.prompt_tokens).toBe(3 + 'system:Be brief.user:Hi'.length);
    const text = whole.choices[0]?.message.content ?? '';
    const completed = await openai.completions.create({
      model,
      prompt: rendered,
      max_tokens: 10,
      ...sampled,
    });
    expect(completed.choices[0]?.text).toBe(text);
    const runner = openai.chat.completions.stream({ ...request, stream_options: { include_usage: true } });
    const final = await runner.finalChatCompletion();
    expect(final.choices[0]?.message).toMatchObject({ role: 'assistant', content: text });
    expect(final.choices[0]?.finish_reason).toBe('length');
    expect(await runner.totalUsage()).toMatchObject({ completion_tokens: 10 });
  });

  it('gives the log-probabilities that the engine’s own logits have, on every route', async () => {
    const prompt = 'const a';
    const native = await post('/completion', {
      ...{ prompt, n_predict: 8, temperature: 0.8, top_k: 0, top_p: 0.9, min_p: 0, seed: 7 },
      ...{ n_probs: 3, return_tokens: true },
    });
    const scores = native.completion_probabilities as LlamaScore[];
    const ids = native.tokens as number[];
    expect(scores.map(({ id }) => id)).toEqual(ids);

    const engine = await openEngine(model, { exact: true });
    const sequence = engine.open();
    const tokens = [...Buffer.from(prompt), ...ids.slice(0, -1)];
    const [logits] = await engine.forward([{ sequence, tokens, logits: 'all' }]);
    await engine.dispose();
    const vocabulary = byteTokens.vocabSize;
    scores.forEach((score, i) => {
      const row = (logits ?? new Float32Array())
        .subarray((prompt.length - 1 + i) * vocabulary)
        .slice(0, vocabulary);
      const normaliser = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const expected = [...row].map((logit, id) => ({ id, logprob: logit - normaliser }));
      expect(score.logprob).toBeCloseTo(expected[score.id]?.logprob ?? NaN, 3);
      const best = expected.sort((a, b) => b.logprob - a.logprob).slice(0, 3);
      score.top_logprobs.forEach((top, place) =>
        expect(top.logprob).toBeCloseTo(best[place]?.logprob ?? NaN, 3),
      );
    });

    const request = { model, prompt, max_tokens: 8, logprobs: 3, ...sampled };
    const { logprobs } = (await openai.completions.create(request)).choices[0] ?? {};
    expect(logprobs?.token_logprobs).toEqual(scores.map(({ logprob }) => logprob));
    expect(logprobs?.tokens).toEqual(scores.map(({ token }) => token));
    const streamed: number[] = [];
    for await (const chunk of await openai.completions.create({ ...request, stream: true })) {
      streamed.push(...(chunk.choices[0]?.logprobs?.token_logprobs ?? []));
    }
    expect(streamed).toEqual(logprobs?.token_logprobs);

    const chat = await openai.chat.completions.create({
      ...{ model, messages: [{ role: 'user', content: 'a' }], max_tokens: 3, temperature: 0 },
      ...{ logprobs: true, top_logprobs: 2 },
    });
    const content = chat.choices[0]?.logprobs?.content ?? [];
    expect(content).toHaveLength(3);
    // The most likely token is the one that temperature 0 chooses; its bytes are one byte here.
    for (const { logprob, bytes, top_logprobs: top } of content) {
      expect(top[0]).toMatchObject({ logprob, bytes });
      expect(bytes).toHaveLength(1);
    }
  });

  it('throws its own errors, with our messages', async () => {
    const chat = { model, messages: [{ role: 'user' as const, content: 'a' }] };
    await expect(openai.completions.create({ model: 'gpt-4', prompt: 'a' })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    );
    await expect(
      new OpenAI({ apiKey: 'wrong', baseURL: openai.baseURL, maxRetries: 0 }).models.list(),
    ).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const tool = { type: 'function' as const, function: { name: 'f' } };
    const refusals: [() => Promise<unknown>, RegExp][] = [
      [
        () => openai.completions.create({ model, prompt: 'x'.repeat(600) }),
        /600 tokens and the context holds 512/,
      ],
      [() => openai.completions.create({ model, prompt: 'x'.repeat(600_000) }), /600000 characters/],
      [() => openai.chat.completions.create({ ...chat, tools: [tool] }), /tools: not supported/],
      [() => openai.chat.completions.create({ ...chat, logit_bias: { 5: 1 } }), /logit_bias: not supported/],
      [() => openai.chat.completions.create({ ...chat, messages: [] }), /messages: must not be empty/],
      [() => openai.completions.create({ model, prompt: 'a', n: 8, best_of: 9 }), /best_of/],
      [
        () => openai.completions.create({ model, prompt: 'a', stop: Array<string>(100).fill('x') }),
        /stop: must be/,
      ],
      [() => openai.completions.create({ model, prompt: 'a', echo: true, logprobs: 1 }), /echo/],
    ];
    for (const [refused, words] of refusals) {
      const error: unknown = await refused().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(OpenAI.BadRequestError);
      expect((error as Error).message).toMatch(words);
    }
  });

  it('says of a model without a chat template that it has none', async () => {
    const asked = openai.chat.completions.create({
      model: endless,
      messages: [{ role: 'user', content: 'a' }],
    });
    await expect(asked).rejects.toThrow(/400 .*has no chat template/);
  });

  it('ends a generation within one token of the client’s going', async () => {
    const metric = async (name: string): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${file.port}/metrics`, {
        headers: { authorization: `Bearer ${file.token}` },
      });
      const line = (await response.text()).split('\n').find((each) => each.startsWith(name));
      return Number(line?.split(' ').at(-1) ?? 0);
    };
    for (let left = 1; left <= 3; left++) {
      const request = { model: endless, prompt: 'a', max_tokens: 4000 };
      const stream = await openai.completions.create({ ...request, stream: true });
      await stream[Symbol.asyncIterator]().next();
      stream.controller.abort();
      await eventually('the end', async () =>
        (await metric('onebit_completions_total{outcome="cancelled"}')) === left ? true : undefined,
      );
    }
    expect(await metric('onebit_unwanted_tokens_total')).toBeLessThanOrEqual(3);
    expect(await metric('onebit_tokens_total{kind="generated"}')).toBeLessThan(12_000);
  });
});

interface LlamaScore {
  id: number;
  token: string;
  logprob: number;
  top_logprobs: { id: number; logprob: number }[];
}
