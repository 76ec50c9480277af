// Clients that ask for much and read nothing: what waits for them is bounded, they are let go, and others are served.
import { connect as connectSocket, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { ServerClient } from '../../extension/server-link/server-client.ts';
import { askHealth } from '../../extension/server-link/find-server.ts';
import { cleanUp, connect, eventually, ServeProcess, tinyModel } from './serve-process.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let server: Awaited<ReturnType<typeof ServeProcess.start>>;
let client: ServerClient;
beforeAll(async () => {
  server = await ServeProcess.start(['--model', tinyModel()]);
  client = await connect(server.file);
  await client.complete({ prefix: 'a', maxTokens: 1 });
});
afterAll(cleanUp);

/** Four million bytes as an answer. */
const long = 'a'.repeat(1_000_000);
/** Bytes that the whole server may take; the answers that are asked for are twice as many. */
const most = 500 * 2 ** 20;

async function open(head: string): Promise<Socket> {
  const socket = connectSocket(server.file.port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.pause();
  socket.write(`${head}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${server.file.token}\r\n`);
  return socket;
}

/** A frame of text, its mask zero. */
function frame(text: string): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x81;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(Buffer.byteLength(text)), 2);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** The server's memory, taken while `done` is waited for. @returns its highest */
async function watched(done: () => Promise<true | undefined>): Promise<number> {
  let highest = 0;
  await eventually('the end of those who do not read', async () => {
    const { process: memory } = await client.request('memory/read', {});
    highest = Math.max(highest, memory.rssBytes);
    return done();
  });
  return highest;
}

it('lets a WebSocket client go that asks for much and never reads', async () => {
  const socket = await open('GET /ws HTTP/1.1');
  socket.write(
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n',
  );
  await eventually('its connection', async () =>
    (await askHealth(server.file))?.clients === 2 ? true : undefined,
  );
  for (let id = 0; id < 250; id++) {
    socket.write(frame(JSON.stringify({ jsonrpc: '2.0', id, method: 'tokenize', params: { text: long } })));
  }
  const highest = await watched(async () =>
    (await askHealth(server.file))?.clients === 1 ? true : undefined,
  );
  expect(highest).toBeLessThan(most);
  socket.destroy();
  expect((await client.complete({ prefix: 'a', maxTokens: 2 })).timings.completionTokens).toBe(2);
});

it('lets HTTP clients go that ask for much and never read', async () => {
  const body = JSON.stringify({ content: long, with_pieces: true });
  const sockets = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const socket = await open('POST /tokenize HTTP/1.1');
      socket.write(`Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      return socket;
    }),
  );
  // The text of one that reads is its turn among them.
  const reading = fetch(`http://127.0.0.1:${server.file.port}/tokenize`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.file.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ content: long }),
  }).then((response) => response.json() as Promise<{ tokens: number[] }>);
  let read = 0;
  void reading.then(({ tokens }) => (read = tokens.length));
  const highest = await watched(() => Promise.resolve(read > 0 ? true : undefined));
  expect(highest).toBeLessThan(most);
  expect(read).toBe(1_000_000);
  for (const socket of sockets) socket.destroy();
  expect((await client.complete({ prefix: 'a', maxTokens: 2 })).timings.completionTokens).toBe(2);
});

it('serves others between the parts of a long answer, and gives it whole', async () => {
  const body = JSON.stringify({ content: long, with_pieces: true });
  const socket = await open('POST /tokenize HTTP/1.1');
  socket.write(
    `Connection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const parts: Buffer[] = [];
  const closed = once(socket, 'close');
  let pauses = 0;
  for await (const part of socket as AsyncIterable<Buffer>) {
    parts.push(part);
    // Now and then others have their turn; more of the answer is waiting than any buffer on the way holds.
    if (parts.length % 40 !== 1 || pauses === 3) continue;
    pauses++;
    expect(await askHealth(server.file)).toBeDefined();
    expect((await client.complete({ prefix: 'a', maxTokens: 2 })).timings.completionTokens).toBe(2);
  }
  await closed;
  expect(pauses).toBe(3);
  const text = Buffer.concat(parts).toString();
  expect(text).toMatch(/^HTTP\/1.1 200 OK/);
  const chunked = text.slice(text.indexOf('\r\n\r\n') + 4);
  const json = chunked.replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n/g, '').replace(/\r\n$/, '');
  const { tokens } = JSON.parse(json) as { tokens: { id: number; piece: string }[] };
  expect(tokens).toHaveLength(1_000_000);
  expect(tokens.every(({ piece }) => piece === 'a')).toBe(true);
});
