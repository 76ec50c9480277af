import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { mutateBytes, mutateValue, pick, type Random } from '../reference/mutate.ts';
import { uniform } from '../reference/random.ts';
import { cleanUp, connect, ServeProcess, tinyModel } from './serve-process.ts';

// ONEBIT_FUZZ=100000 for the whole count, half of it bodies and half frames; ONEBIT_FUZZ_SEED for others.
const count = Number(process.env.ONEBIT_FUZZ ?? 600);
const seed = Number(process.env.ONEBIT_FUZZ_SEED ?? 1);
/** Without an answer for so long a request counts as hung; far over a second, for a busy machine. */
const hungMs = 20_000;
/** What the server may hold after all of it. */
const maxRss = 1 << 30;
const atOnce = 8;

vi.setConfig({ testTimeout: 7_200_000, hookTimeout: 300_000 });

let server: Awaited<ReturnType<typeof ServeProcess.start>>;
const agent = new Agent({ keepAlive: true, maxSockets: atOnce });

beforeAll(async () => {
  server = await ServeProcess.start(['--model', tinyModel()]);
});
afterAll(async () => {
  agent.destroy();
  if (count > 1000) console.log(`The slowest answer took ${slowest.ms.toFixed(0)} ms: ${slowest.to}`);
  await cleanUp();
});

const bodies: readonly (readonly [string, object])[] = [
  [
    '/v1/completions',
    { prompt: 'a = ', max_tokens: 2, temperature: 0.5, stop: ['x'], stream: true, n: 2, logprobs: 1 },
  ],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 }],
  ['/completion', { prompt: ['a', 1], n_predict: 2, top_k: 4, stop: ['b'], samplers: ['top_k'] }],
  [
    '/infill',
    {
      input_prefix: 'a',
      input_suffix: 'b',
      input_extra: [{ text: 'c', filename: 'd' }],
      prompt: '',
      n_predict: 2,
    },
  ],
  ['/tokenize', { content: 'a b' }],
  ['/detokenize', { tokens: [1, 2] }],
  ['/apply-template', { messages: [{ role: 'user', content: 'hi' }] }],
];

/** Everything but server/stop, which would do what it is asked. */
const frames: readonly object[] = [
  { method: 'server/hello', params: { client: 'fuzz', version: '1' } },
  { method: 'folders/set', params: { folders: ['/nowhere'] } },
  { method: 'completion', params: { id: 'c', prefix: 'a', suffix: 'b', maxTokens: 2, stop: ['x'] } },
  { method: 'model/load', params: { model: '/nowhere/at/all' } },
  { method: 'model/list', params: {} },
  { method: 'model/forget', params: { model: '/nowhere' } },
  { method: 'chat', params: { id: 'c', messages: [{ role: 'user', content: 'hi' }], maxTokens: 2 } },
  { method: 'chat/count', params: { messages: [{ role: 'user', content: 'hi' }] } },
  { method: 'memory/plan', params: { contextLength: 64 } },
  { method: 'job/curves', params: { id: 'none', from: 0 } },
  { method: 'job/export', params: { id: 'none', format: 'csv', path: '/nowhere/c' } },
  { method: 'job/start', params: { kind: 'quantize', model: '/nowhere/a', output: '/nowhere/b' } },
  { method: 'job/cancel', params: { id: 'none' } },
  { method: 'job/metrics', params: { id: '../../x' } },
  { method: 'inspect/layers', params: { id: 'i', model: '/nowhere/a' } },
  { method: 'tokenize', params: { text: 'a' } },
  { method: 'subscribe', params: { topics: ['jobs'] } },
  { method: '$/cancelRequest', params: { id: 1 } },
];

/** The status of a request's answer, read to its end. */
function post(path: string, body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${server.file.token}`,
      'content-type': 'application/json',
      'content-length': body.length,
    };
    const sent = request(
      { host: '127.0.0.1', port: server.file.port, path, method: 'POST', headers, agent },
      (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode ?? 0));
      },
    );
    sent.setTimeout(hungMs, () => sent.destroy(new Error('no answer')));
    sent.once('error', (error) =>
      reject(new Error(`${path} ${body.toString('latin1', 0, 500)}: ${error.message}`)),
    );
    sent.end(body);
  });
}

function open(): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.file.port}/ws`, {
      headers: { authorization: `Bearer ${server.file.token}` },
    });
    socket.once('open', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Sends a ping and waits for its pong: what was sent before has been taken in. */
function taken(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error('the connection neither answers nor ends')), hungMs);
    const done = (): void => {
      clearTimeout(limit);
      resolve();
    };
    socket.once('pong', done);
    socket.once('close', done);
    socket.ping(undefined, undefined, () => {});
  });
}

function bytesOf(random: Random, value: object): Buffer {
  let changed: unknown = value;
  for (let times = Math.floor(random() * 3); times >= 0; times--) changed = mutateValue(random, changed);
  if (random() < 0.05) return randomBytes(random);
  const bytes = Buffer.from(JSON.stringify(changed));
  return random() < 0.3 ? mutateBytes(random, bytes) : bytes;
}

function randomBytes(random: Random): Buffer {
  return Buffer.from(Array.from({ length: Math.floor(random() * 300) }, () => Math.floor(random() * 256)));
}

/** Milliseconds of the slowest answer so far, and what it answered. */
let slowest = { ms: 0, to: '' };

async function timed<T>(what: string, work: Promise<T>): Promise<T> {
  const begun = performance.now();
  const result = await work;
  const ms = performance.now() - begun;
  if (ms > slowest.ms) slowest = { ms, to: what };
  return result;
}

/** Whether the server that was started is still there, well, and within its memory. */
async function expectWell(): Promise<void> {
  expect(server.exited, server.output).toBe(false);
  const client = await connect(server.file);
  const { process: memory } = await client.request('memory/read', {});
  await client.close();
  expect(memory.rssBytes).toBeLessThan(maxRss);
  const log = readLog();
  expect(log).not.toContain(server.file.token);
  expect(log).not.toMatch(/\n\s+at .+:\d+:\d+/);
}

function readLog(): string {
  try {
    return server.output + readFileSync(`${server.stateFolder}/server.log`, 'utf8');
  } catch {
    return server.output;
  }
}

it('answers any body, with no error of its own', async () => {
  const random = uniform(seed);
  const statuses = new Map<number, number>();
  for (let done = 0; done < count / 2; done += atOnce) {
    const cases = Array.from({ length: atOnce }, () => {
      const [path, body] = pick(random, bodies);
      return [path, bytesOf(random, body)] as const;
    });
    const answered = await Promise.all(
      cases.map(([path, bytes]) => timed(`${path} ${bytes.toString('latin1', 0, 500)}`, post(path, bytes))),
    );
    answered.forEach((status, i) => {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const [path, bytes] = cases[i] ?? ['', Buffer.alloc(0)];
      expect([200, 400, 404, 503], `${path} ${bytes.toString('latin1', 0, 500)}`).toContain(status);
    });
  }
  // Both kinds came through: the fuzz is not all refused at the door.
  expect(statuses.get(200)).toBeGreaterThan(0);
  expect(statuses.get(400)).toBeGreaterThan(0);
  await expectWell();
});

it('takes any frame', async () => {
  const random = uniform(seed + 1);
  let internal = '';
  for (let done = 0; done < count / 2;) {
    const socket = await open();
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8');
      if (text.includes('"code":"internal"')) internal = text;
    });
    for (let sent = 0; sent < 50; sent++, done++) {
      const bytes = bytesOf(random, { jsonrpc: '2.0', id: sent, ...pick(random, frames) });
      // A binary frame ends the connection: nothing after it would be read.
      if (random() < 0.02) {
        socket.send(bytes);
        done++;
        break;
      }
      socket.send(bytes.toString('latin1'));
    }
    await timed('fifty frames', taken(socket));
    socket.terminate();
  }
  expect(internal, readLog()).toBe('');
  await expectWell();
});

it('takes any bytes for a request, and any after an upgrade', async () => {
  const random = uniform(seed + 2);
  const { port, token } = server.file;
  const head = `Host: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n`;
  const upgrade =
    `GET /ws HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: websocket\r\n` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n';
  const body = '{"prompt":"a","n_predict":1}';
  const posted = `POST /completion HTTP/1.1\r\n${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  for (let done = 0; done < count / 10; done++) {
    const socket = connectSocket(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'connect');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const kind = random();
    if (kind < 0.4) socket.write(mutateBytes(random, Buffer.from(posted)));
    else if (kind < 0.6) socket.write(mutateBytes(random, Buffer.from(upgrade)));
    else if (kind < 0.7) socket.write(randomBytes(random));
    else {
      socket.write(upgrade);
      // A masked text frame, its parts bent.
      const text = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, ...pick(random, frames) }));
      const frame = Buffer.concat([Buffer.from([0x81, 0x80 | Math.min(text.length, 125), 0, 0, 0, 0]), text]);
      socket.write(mutateBytes(random, frame));
    }
    socket.end();
    const ended = Promise.race([closed.then(() => true), sleep(hungMs, false)]);
    expect(await timed('the end of a connection', ended), `seed ${seed}, connection ${done}`).toBe(true);
    socket.destroy();
  }
  await expectWell();
});
