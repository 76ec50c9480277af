// The chat over WebSocket, as the extension's language model chat provider asks for it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ServerClient } from '../../extension/server-link/server-client.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import { cleanUp, connect, eventually, ServeProcess, tinyModel } from './serve-process.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Each message costs its role and one character more; the turn that is begun, two. */
const template =
  '{% for m in messages %}{{ m.role + ":" + m.content }}{% endfor %}' +
  '{% if add_generation_prompt %}{{ "A:" }}{% endif %}';

let model: string;
let file: ServerFile;
let client: ServerClient;

beforeAll(async () => {
  model = tinyModel({ maxPositions: 4096 });
  writeFileSync(join(model, 'tokenizer_config.json'), JSON.stringify({ chat_template: template }));
  ({ file } = await ServeProcess.start(['--model', model]));
  client = await connect(file);
});
afterAll(async () => {
  await client.close();
  await cleanUp();
});

const question = { role: 'user' as const, content: 'Why?' };
const idle = () =>
  eventually('an idle server', async () => {
    const { active, queued } = await client.request('model/status', {});
    return active + queued === 0 ? true : undefined;
  });

describe('a chat', () => {
  it('streams what the HTTP route answers to the same messages', async () => {
    const pieces: string[] = [];
    const messages = [{ role: 'system' as const, content: 'Be brief.' }, question];
    const params = { messages, temperature: 0, maxTokens: 24 };
    const answer = await client.chat(params, (piece) => pieces.push(piece));
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe(answer.text);
    expect(answer).toMatchObject({ finishReason: 'length', model });
    const response = await fetch(`http://127.0.0.1:${file.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${file.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ messages, temperature: 0, max_tokens: 24 }),
    });
    const body = (await response.json()) as {
      choices: { message: { content: string } }[];
      usage: { prompt_tokens: number };
    };
    expect(answer.text).toBe(body.choices[0]?.message.content);
    expect(answer.timings.promptTokens).toBe(body.usage.prompt_tokens);
  });

  it('counts tokens with what the template puts around the text', async () => {
    expect(await client.request('chat/count', { messages: [question] })).toEqual({ tokens: 9 });
    const { timings } = await client.chat({ messages: [question], maxTokens: 1 });
    expect(timings.promptTokens).toBe(11);
  });

  it('stops when it is cancelled, and leaves its turn to an editor', async () => {
    const leave = new AbortController();
    let begun = false;
    const running = client.chat({ messages: [question] }, () => (begun = true), leave.signal);
    await eventually('its first text', () => (begun ? true : undefined));
    // An editor's completion is answered while the chat goes on.
    expect((await client.complete({ prefix: 'a', maxTokens: 4 })).timings.completionTokens).toBe(4);
    leave.abort();
    expect((await running).finishReason).toBe('cancelled');
    await idle();
  });

  it('is refused for another model than the one in use, and for a prompt that the context does not hold', async () => {
    await expect(client.chat({ messages: [question], model: '/other' })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining(model),
    });
    const long = { ...question, content: 'x'.repeat(5000) };
    await expect(client.chat({ messages: [long] })).rejects.toMatchObject({ code: 'bad-request' });
    await expect(client.chat({ messages: [] })).rejects.toMatchObject({ code: 'bad-request' });
  });

  it('is refused by a model without a chat template, which the list says before', async () => {
    const plain = tinyModel({ seed: 5 });
    const { model: loaded } = await client.request('model/load', { model: plain });
    expect(loaded).toMatchObject({ path: plain, chat: false });
    await expect(client.chat({ messages: [question] })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('no chat template'),
    });
    const known = await client.request('model/list', {});
    expect(known.map(({ id, chat }) => [id, chat])).toContainEqual([model, true]);
  });
});
