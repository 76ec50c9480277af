import { request } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket, type ClientOptions } from 'ws';
import { ServerClient } from '../../extension/server-link/server-client.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import { cleanUp, connect, ServeProcess, tinyModel } from './serve-process.ts';

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let file: ServerFile;

beforeAll(async () => {
  ({ file } = await ServeProcess.start(['--model', tinyModel()]));
});
afterAll(cleanUp);

interface Answer {
  status: number;
  body: string;
}

/** One HTTP request with exactly these headers (fetch does not let Host be set). */
function ask(path: string, headers: Record<string, string>, method = 'GET', body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port: file.port, path, method, headers, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
const bearer = (token = file.token): Record<string, string> => ({ authorization: `Bearer ${token}` });

/** The status with which an upgrade is refused, or 101. */
function upgrade(path: string, options: ClientOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${file.port}${path}`, options);
    socket.once('open', () => {
      socket.terminate();
      resolve(101);
    });
    socket.once('unexpected-response', (_request, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.once('error', reject);
  });
}

describe('token', () => {
  it('is asked for on every route', async () => {
    for (const [path, method] of [
      ['/v1/models', 'GET'],
      ['/v1/completions', 'POST'],
      ['/metrics', 'GET'],
      ['/no/such/route', 'GET'],
    ] as const) {
      expect((await ask(path, {}, method)).status, path).toBe(401);
      expect((await ask(path, bearer('wrong'), method)).status, path).toBe(401);
      expect((await ask(path, { authorization: file.token }, method)).status, path).toBe(401);
    }
    expect((await ask('/v1/models', bearer())).status).toBe(200);
    expect((await ask('/no/such/route', bearer())).status).toBe(404);
  });

  it('is not needed to see that the server is up, and nothing more is shown without it', async () => {
    const anonymous = await ask('/health', {});
    expect(anonymous.status).toBe(200);
    expect(JSON.parse(anonymous.body)).toEqual({ status: 'ok' });
    expect((await ask('/health', bearer('wrong'))).status).toBe(401);
    expect(JSON.parse((await ask('/health', bearer())).body)).toMatchObject({
      status: 'ok',
      pid: file.pid,
      jobs: 0,
    });
  });

  it('is asked for on the upgrade, as a header or in the query', async () => {
    expect(await upgrade('/ws', {})).toBe(401);
    expect(await upgrade('/ws?token=wrong', {})).toBe(401);
    expect(await upgrade(`/ws?token=${file.token.slice(0, -1)}`, {})).toBe(401);
    expect(await upgrade(`/ws?token=${file.token}`, {})).toBe(101);
    expect(await upgrade('/ws', { headers: bearer() })).toBe(101);
    expect(await upgrade(`/elsewhere?token=${file.token}`, {})).toBe(404);
  });

  it('that is wrong gives the client a clear error', async () => {
    await expect(
      ServerClient.connect({ port: file.port, token: 'x'.repeat(43) }, { client: 'test', version: '0' }),
    ).rejects.toMatchObject({ code: 'unauthorized', message: expect.stringContaining('server.json') });
  });
});

describe('Host and Origin', () => {
  it('of this machine or of a webview are let in, others not', async () => {
    const cases: [Record<string, string>, number][] = [
      [{ host: `localhost:${file.port}` }, 200],
      [{ host: `attacker.example:${file.port}` }, 403],
      [{ host: '127.0.0.1.attacker.example' }, 403],
      [{ origin: 'vscode-webview://abc123' }, 200],
      [{ origin: 'http://127.0.0.1:8080' }, 200],
      [{ origin: 'http://localhost:8080' }, 200],
      [{ origin: 'https://attacker.example' }, 403],
      [{ origin: 'http://localhost.attacker.example' }, 403],
      [{ origin: 'null' }, 403],
    ];
    for (const [headers, status] of cases) {
      expect((await ask('/v1/models', { ...bearer(), ...headers })).status, JSON.stringify(headers)).toBe(
        status,
      );
      expect(await upgrade('/ws', { headers: { ...bearer(), ...headers } }), JSON.stringify(headers)).toBe(
        status === 200 ? 101 : status,
      );
    }
  });
});

describe('an upgrade', () => {
  it('to an address that is none is refused, and the server stays up', async () => {
    for (const [path, headers] of [
      ['//', ''],
      ['//', `Authorization: Bearer ${file.token}\r\n`],
      ['http://[', ''],
      ['http://[', `Authorization: Bearer ${file.token}\r\n`],
    ]) {
      const status = await new Promise<string>((resolve, reject) => {
        const socket = connectSocket(file.port, '127.0.0.1');
        let text = '';
        socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
        socket.once('close', () => resolve(text.split(' ')[1] ?? ''));
        socket.once('error', reject);
        socket.write(
          `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}Connection: Upgrade\r\nUpgrade: websocket\r\n` +
            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
        );
      });
      expect(status, path).toBe(headers === '' ? '401' : '404');
    }
    expect((await ask('/health', bearer())).status).toBe(200);
  });
});

describe('frames', () => {
  /** Sends raw frames over a connection of its own and gathers what comes back until `until`. */
  async function exchange(
    frames: (string | Buffer)[],
    until: (messages: RpcMessage[]) => boolean,
  ): Promise<{ messages: RpcMessage[]; closed?: { code: number; reason: string } }> {
    const socket = new WebSocket(`ws://127.0.0.1:${file.port}/ws`, { headers: bearer() });
    const messages: RpcMessage[] = [];
    return new Promise((resolve, reject) => {
      socket.once('open', () => {
        for (const frame of frames) socket.send(frame);
      });
      socket.on('message', (data: Buffer) => {
        messages.push(JSON.parse(data.toString('utf8')) as RpcMessage);
        if (!until(messages)) return;
        socket.terminate();
        resolve({ messages });
      });
      // What is too large is refused before it is read: the rest of it may meet a closed socket.
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error);
      });
      socket.once('close', (code, reason) =>
        resolve({ messages, closed: { code, reason: reason.toString() } }),
      );
    });
  }
  const hello = {
    jsonrpc: '2.0',
    id: 'hello',
    method: 'server/hello',
    params: { client: 't', version: '1' },
  };
  const greeted = (messages: RpcMessage[]): boolean => messages.some(({ id }) => id === 'hello');

  it('that are no JSON-RPC requests are answered with an error, and the connection goes on', async () => {
    const cases: [string, number, unknown][] = [
      ['{"jsonrpc":', -32700, null],
      ['[]', -32600, null],
      [JSON.stringify([hello, hello]), -32600, null],
      ['"text"', -32600, null],
      ['null', -32600, null],
      ['{"id":1,"method":"model/list"}', -32600, 1],
      ['{"jsonrpc":"2.0","id":2,"method":7}', -32600, 2],
      ['{"jsonrpc":"2.0","id":3,"method":"model/list","params":5}', -32600, 3],
      ['{"jsonrpc":"2.0","id":{},"method":"model/list"}', -32600, null],
      ['{"jsonrpc":"2.0","id":4,"method":"no/such/method"}', -32601, 4],
      ['{"jsonrpc":"2.0","id":5,"method":"__proto__"}', -32601, 5],
      ['{"jsonrpc":"2.0","id":6,"method":"toString"}', -32601, 6],
      ['{"jsonrpc":"2.0","id":7,"method":"completion","params":{"id":"c"}}', -32602, 7],
      ['{"jsonrpc":"2.0","id":8,"method":"completion","params":["c"]}', -32602, 8],
      ['{"jsonrpc":"2.0","method":"$/cancelRequest"}', -32600, null],
    ];
    for (const [frame, code, id] of cases) {
      const { messages } = await exchange([frame, JSON.stringify(hello)], greeted);
      expect(
        messages.find(({ error }) => error !== undefined),
        frame,
      ).toMatchObject({ id, error: { code } });
      expect(messages.find((message) => message.id === 'hello')?.result, frame).toMatchObject({
        name: 'onebit',
      });
    }
  });

  it('that need no answer get none', async () => {
    const frames = [
      '{"jsonrpc":"2.0","id":99,"result":{}}',
      '{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":12345}}',
      '{"jsonrpc":"2.0","method":"no/such/notification","params":{}}',
    ];
    const { messages } = await exchange([...frames, JSON.stringify(hello)], greeted);
    expect(messages).toHaveLength(1);
  });

  it('with the id of a request that still runs do not replace it', async () => {
    const slow = {
      jsonrpc: '2.0',
      id: 1,
      method: 'completion',
      params: { id: 'c', prefix: 'a', maxTokens: 20 },
    };
    const { messages } = await exchange([JSON.stringify(slow), JSON.stringify({ ...hello, id: 1 })], (all) =>
      all.some(({ id }) => id === 1),
    );
    expect(messages.find(({ error }) => error !== undefined)).toMatchObject({
      id: null,
      error: { code: -32600 },
    });
    expect(messages.find(({ id }) => id === 1)?.result).toMatchObject({ id: 'c' });
  });

  it('that name as a model what every object has are refused like any relative path', async () => {
    const client = await connect(file);
    for (const model of ['__proto__', 'constructor', 'toString']) {
      await expect(client.request('model/load', { model }), model).rejects.toMatchObject({
        code: 'bad-request',
      });
    }
    await client.close();
  });

  it('that are binary or too large end the connection and say why', async () => {
    const binary = await exchange([Buffer.from([1, 2, 3])], () => false);
    expect(binary.closed).toMatchObject({ code: 1003, reason: expect.stringContaining('text') });
    const large = await exchange(['x'.repeat(9 * 2 ** 20)], () => false);
    expect([1006, 1009]).toContain(large.closed?.code);
  });

  it('of nonsense without end end the connection, and the server stays up', async () => {
    const nonsense = await exchange(
      Array.from({ length: 150 }, () => 'nonsense'),
      () => false,
    );
    expect(nonsense.closed).toMatchObject({ code: 1008 });
    const raw = connectSocket(file.port, '127.0.0.1');
    raw.on('error', () => {});
    raw.end('\x00\xff not HTTP\r\n\r\n');
    const client = await connect(file);
    expect((await client.request('model/status', {})).active).toBe(0);
    await client.close();
  });
});

describe('bodies', () => {
  it('that are too large, malformed or of another kind are refused', async () => {
    const json = { ...bearer(), 'content-type': 'application/json' };
    const cases: [Record<string, string>, string, number][] = [
      [json, '{"prompt":', 400],
      [json, '[]', 400],
      [{ ...bearer(), 'content-type': 'text/plain' }, '{"prompt":"a"}', 400],
    ];
    for (const [headers, body, status] of cases) {
      const answer = await ask('/v1/completions', headers, 'POST', body);
      expect(answer.status).toBe(status);
      expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'bad-request' } });
    }
  });

  it('over a limit are refused with the limit and what was sent', async () => {
    const json = { ...bearer(), 'content-type': 'application/json' };
    const long = 'x'.repeat(1_000_001);
    const limit = '1000000';
    const large = JSON.stringify({ prompt: 'x'.repeat(9 * 2 ** 20) });
    const cases: [string, object | string, number, string[]][] = [
      ['/v1/completions', large, 413, [String(large.length), '8388608', '8 MiB']],
      ['/v1/completions', { prompt: long }, 400, ['prompt', '1000001', limit]],
      ['/v1/completions', { prompt: Array(17).fill('a') }, 400, ['prompt', '16', '17']],
      ['/v1/completions', { prompt: 'a', n: 9 }, 400, ['n: ', '8']],
      ['/v1/completions', { prompt: 'a', stop: Array(65).fill('a') }, 400, ['stop', '64', '65']],
      ['/v1/completions', { prompt: 'a', stop: ['a'.repeat(201)] }, 400, ['stop', '200', '201']],
      ['/v1/chat/completions', { messages: [{ role: 'user', content: long }] }, 400, ['1000001', limit]],
      ['/completion', { prompt: { prompt_string: long } }, 400, ['prompt', '1000001', limit]],
      ['/infill', { input_prefix: long }, 400, ['input_prefix', '1000001', limit]],
      ['/infill', { input_extra: Array(257).fill({ text: '' }) }, 400, ['input_extra', '256']],
      ['/tokenize', { content: long }, 400, ['content', '1000001', limit]],
      ['/detokenize', { tokens: Array(2 ** 20 + 1).fill(1) }, 400, ['tokens', String(2 ** 20)]],
    ];
    for (const [path, body, status, named] of cases) {
      const answer = await ask(path, json, 'POST', typeof body === 'string' ? body : JSON.stringify(body));
      expect({ path, status: answer.status }).toEqual({ path, status });
      const { message } = (JSON.parse(answer.body) as { error: { message: string } }).error;
      for (const part of named) expect(message).toContain(part);
    }
  });

  it('without a length are refused where they get too large, and a head of many headers as well', async () => {
    const answerOf = (...parts: string[]): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connectSocket(file.port, '127.0.0.1');
        let answer = '';
        socket.setEncoding('utf8');
        socket.on('data', (text: string) => (answer += text));
        socket.on('close', () => resolve(answer));
        socket.on('error', reject);
        for (const part of parts) socket.write(part);
      });
    const head = `POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: ${bearer().authorization}\r\n`;
    const chunk = `100000\r\n${' '.repeat(2 ** 20)}\r\n`;
    const chunked = await answerOf(
      `${head}Transfer-Encoding: chunked\r\n\r\n`,
      ...Array<string>(9).fill(chunk),
      '0\r\n\r\n',
    );
    expect(chunked).toMatch(/^HTTP\/1.1 413 [^]*at most 8388608 \(8 MiB\) are possible/);
    expect(await answerOf(`${head}X-Long: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 [^]*over 16 KiB/,
    );
    expect(await answerOf('\x00\xff not HTTP\r\n\r\n')).toMatch(/^HTTP\/1.1 400 [^]*no HTTP/);
  });
});

interface RpcMessage {
  id?: unknown;
  result?: unknown;
  error?: { code: number };
}
