// The clients of the load benchmark, in a thread of their own: programs of many kinds, some of them broken, that ask one
// server at the same time. Each says what it got; what it did not ask for is an error.
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { mutateBytes, mutateValue, type Random } from '../reference/mutate.ts';
import { uniform } from '../reference/random.ts';
import { ServerClient } from '../../extension/server-link/server-client.ts';

export interface LoadClientsOptions {
  address: { port: number; token: string };
  seconds: number;
  /** Pieces of real code. */
  texts: string[];
  seed: number;
}

/** What one kind of client got. */
export interface KindReport {
  clients: number;
  exchanges: number;
  cancelled: number;
  /** Refusals that were asked for: bad bodies and frames, a full queue with the time to try again. */
  refused: number;
  /** The first few of those that were not asked for, and how many there were. */
  errors: string[];
  errorCount: number;
}

interface Visit {
  random: Random;
  text(): string;
  post(path: string, body: unknown, signal?: AbortSignal): Promise<Response>;
  report: KindReport;
  /** False when the time is over. */
  going(): boolean;
}

interface Kind {
  clients: number;
  /** Milliseconds between two exchanges, at most. */
  pause: number;
  /** One exchange. */
  run(visit: Visit): Promise<void>;
}

const ownErrors = new Set([200, 503]);

/** Reads the whole answer; a status that is not allowed is an error. */
async function take(response: Response, report: KindReport, allowed = ownErrors): Promise<string> {
  const text = await response.text();
  if (!allowed.has(response.status)) throw new Error(`${response.status}: ${text.slice(0, 200)}`);
  if (response.status === 503 && !(Number(response.headers.get('retry-after')) > 0)) {
    throw new Error('503 without Retry-After');
  }
  if (response.status !== 200) report.refused++;
  return text;
}

const refusals = new Set([200, 400, 404, 413, 503]);

const kinds: Record<string, Kind> = {
  'streaming /v1/completions': {
    clients: 8,
    pause: 200,
    async run({ text, post, report }) {
      const body = { prompt: text(), max_tokens: 48, temperature: 0.7, stream: true };
      const got = await take(await post('/v1/completions', body), report);
      if (got.startsWith('data') && !got.endsWith('data: [DONE]\n\n'))
        throw new Error('a stream without its end');
    },
  },
  'whole /completion': {
    clients: 5,
    pause: 300,
    async run({ text, post, report }) {
      await take(await post('/completion', { prompt: text(), n_predict: 32, top_k: 20 }), report);
    },
  },
  'streaming, gone in the middle': {
    clients: 5,
    pause: 200,
    async run({ text, post, report, random }) {
      const leave = new AbortController();
      const body = { prompt: text(), n_predict: 400, stream: true, ignore_eos: true };
      const response = await post('/completion', body, leave.signal);
      if (response.status !== 200) return void (await take(response, report));
      const reader = response.body?.getReader();
      for (let pieces = 1 + random() * 12; pieces > 0; pieces--) if ((await reader?.read())?.done) return;
      leave.abort();
      await reader?.cancel().catch(() => {});
      report.cancelled++;
    },
  },
  'llama.vscode /infill': {
    clients: 1,
    pause: 3000,
    async run({ text, post, report }) {
      const code = text();
      const line = code.lastIndexOf('\n') + 1;
      const body = {
        ...{ input_prefix: code.slice(0, line), prompt: code.slice(line), input_suffix: '\n', n_predict: 16 },
        ...{ samplers: ['top_k', 'top_p', 'infill'], t_max_predict_ms: 500, cache_prompt: true },
      };
      await take(await post('/infill', body), report);
    },
  },
  'a window that cancels': {
    clients: 1,
    pause: 1500,
    async run({ text, report, random, going }) {
      const client = await ServerClient.connect(options.address, { client: 'load', version: '0' });
      try {
        for (let times = 0; times < 20 && going(); times++) {
          const leave = new AbortController();
          const running = client.complete({ prefix: text(), maxTokens: 32 }, undefined, leave.signal);
          await sleep(random() * 20);
          leave.abort();
          await running.catch((error: unknown) => {
            if ((error as { code?: unknown }).code !== 'cancelled') throw error;
          });
          report.cancelled++;
          await sleep(1000 + random() * 1000);
        }
      } finally {
        await client.close();
      }
    },
  },
  'pollers of /health, /metrics, /props': {
    clients: 3,
    pause: 1000,
    async run({ report, random }) {
      const path = ['/health', '/metrics', '/props', '/v1/models'][Math.floor(random() * 4)] ?? '/health';
      const headers = { authorization: `Bearer ${options.address.token}` };
      await take(await fetch(`http://127.0.0.1:${options.address.port}${path}`, { headers }), report);
    },
  },
  'bad bodies': {
    clients: 3,
    pause: 200,
    async run({ post, report, random }) {
      const body: unknown = {
        prompt: 'a = ',
        max_tokens: 2,
        n_predict: 2,
        stop: ['x'],
        stream: random() < 0.5,
      };
      const bytes = Buffer.from(JSON.stringify(mutateValue(random, body)));
      const path = ['/v1/completions', '/completion', '/infill', '/tokenize'][Math.floor(random() * 4)] ?? '';
      await take(await post(path, random() < 0.4 ? mutateBytes(random, bytes) : bytes), report, refusals);
    },
  },
  'bad frames': {
    clients: 3,
    pause: 500,
    async run({ report, random }) {
      const { port, token } = options.address;
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, {
        headers: { authorization: `Bearer ${token}` },
      });
      socket.on('message', (data: Buffer) => {
        const said = data.toString('utf8');
        if (said.includes('"code":"internal"')) fail(report, said);
        else if (said.includes('"error"')) report.refused++;
      });
      await once(socket, 'open');
      const closed = new Promise((resolve) => socket.once('close', resolve));
      for (let frame = 0; frame < 20; frame++) {
        const message = {
          jsonrpc: '2.0',
          id: frame,
          method: 'completion',
          params: { id: 'c', prefix: 'a', maxTokens: 1 },
        };
        const bytes = Buffer.from(JSON.stringify(mutateValue(random, { ...message, more: frame })));
        const bad = random() < 0.5 ? mutateBytes(random, bytes) : bytes;
        socket.send(bad.toString('latin1'));
        await sleep(random() * 50);
      }
      if (random() < 0.5) socket.send(Buffer.from([1, 2, 3]));
      else socket.close();
      await Promise.race([closed, sleep(5000)]);
      socket.terminate();
    },
  },
  'stuck readers': {
    clients: 2,
    pause: 1000,
    async run({ report, text }) {
      const { port, token } = options.address;
      const socket = connectSocket(port, '127.0.0.1');
      socket.on('error', () => {});
      await once(socket, 'connect');
      socket.pause();
      const body = JSON.stringify({ prompt: text(), n_predict: 200, n_probs: 100, stream: true });
      socket.write(
        `POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
      await sleep(3000);
      socket.destroy();
      report.cancelled++;
    },
  },
};

/** Clients of all kinds together; the editor whose latency is measured comes on top. */
export const loadClients = Object.values(kinds).reduce((sum, { clients }) => sum + clients, 0);

const options = workerData as LoadClientsOptions;

function fail(report: KindReport, error: unknown): void {
  report.errorCount++;
  const said = error instanceof Error ? `${error.message} ${String(error.cause ?? '')}` : String(error);
  if (report.errors.length < 3) report.errors.push(said.slice(0, 300));
}

async function runKind(name: string, { clients, pause, run }: Kind, end: number): Promise<KindReport> {
  const report: KindReport = { clients, exchanges: 0, cancelled: 0, refused: 0, errors: [], errorCount: 0 };
  const { port, token } = options.address;
  const one = async (index: number): Promise<void> => {
    const random = uniform(options.seed + 1000 * index + name.length);
    const going = (): boolean => performance.now() < end;
    const text = (): string => options.texts[Math.floor(random() * options.texts.length)] ?? '';
    const post = (path: string, body: unknown, signal?: AbortSignal): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'user-agent': `${name} ${index}`,
        },
        body: body instanceof Buffer ? new Uint8Array(body) : JSON.stringify(body),
        signal,
      });
    while (going()) {
      try {
        await run({ random, text, post, report, going });
        report.exchanges++;
      } catch (error) {
        fail(report, error);
      }
      await sleep(random() * pause);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => one(index)));
  return report;
}

if (parentPort !== null) {
  const end = performance.now() + options.seconds * 1000;
  const reports = await Promise.all(
    Object.entries(kinds).map(async ([name, kind]) => [name, await runKind(name, kind, end)] as const),
  );
  parentPort.postMessage(Object.fromEntries(reports));
}
