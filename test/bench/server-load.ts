// Many clients at once, and what one developer feels of them: an editor's latency alone and beside 31 others, the
// server's memory, and errors that nobody asked for.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { readServerFile } from '../../extension/server-link/find-server.ts';
import { ServerClient } from '../../extension/server-link/server-client.ts';
import { uniform } from '../reference/random.ts';
import { readCode } from './code-samples.ts';
import type { KindReport, LoadClientsOptions } from './load-clients.ts';

export interface LoadBenchOptions {
  root: string;
  /** The bundle of load-clients.ts. */
  clients: string;
  /** The command line's bundle. */
  cli: string;
  /** A folder for the server's state. */
  folder: string;
  /** `starter` or a folder. */
  model: string;
  threads: number;
  /** Of the load that is measured; a third of it (90 s at most) the editor is alone before. */
  seconds: number;
  /** Of the load before that. */
  warmUpSeconds: number;
  code?: string;
}

interface Latency {
  p50: number;
  p99: number;
  count: number;
}

export interface LoadBench {
  seconds: number;
  clients: number;
  alone: Latency;
  loaded: Latency;
  kinds: Record<string, KindReport>;
  /** Bytes of resident memory: the median of all seconds, of the first and of the last tenth, and the extremes. */
  memory: { median: number; first: number; last: number; least: number; most: number };
  unwantedTokens: number;
  cancelled: number;
  /** Requests that run or wait when all have gone. */
  left: number;
}

export async function measureLoad(options: LoadBenchOptions): Promise<LoadBench> {
  const { root, cli, folder, threads, seconds, warmUpSeconds, code, model } = options;
  const texts = readCode(code, root).map(({ text }) => text);
  const child = spawn(
    process.execPath,
    [cli, 'serve', '--threads', String(threads), '--device', 'cpu', '--model', model],
    { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ONEBIT_STATE: folder } },
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    const address = await addressOf(folder, child.pid);
    const client = await ServerClient.connect(address, { client: 'bench', version: '0' });
    const editor = new Editor(client, texts);
    await editor.type(Math.min(5, seconds / 5));
    const alone = await editor.type(Math.min(90, seconds / 3));
    const worker = new Worker(options.clients, {
      workerData: {
        ...{ address, seconds: warmUpSeconds + seconds, seed: 1 },
        texts: texts.slice(0, 200).map((text) => text.slice(0, 400)),
      } satisfies LoadClientsOptions,
    });
    const reports = new Promise<Record<string, KindReport>>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await editor.type(warmUpSeconds);
    const memory = watchMemory(address.pid);
    const loaded = await editor.type(seconds);
    const remembered = memory.end();
    const kinds = await reports;
    await worker.terminate();
    const left = await settle(client);
    await client.close();
    const metrics = await metricsOf(address);
    const others = Object.values(kinds).reduce((sum, { clients }) => sum + clients, 0);
    return {
      ...{ seconds, clients: others + 1, alone, loaded, kinds, memory: remembered, left },
      unwantedTokens: metrics('onebit_unwanted_tokens_total'),
      cancelled: metrics('onebit_completions_total{outcome="cancelled"}'),
    };
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

/** One developer: types five keys at a place, four a second, waits for each answer, and goes to another place. */
class Editor {
  private readonly random = uniform(5);

  constructor(
    private readonly client: ServerClient,
    private readonly texts: readonly string[],
  ) {}

  async type(seconds: number): Promise<Latency> {
    const times: number[] = [];
    for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
      const text = this.texts[Math.floor(this.random() * this.texts.length)] ?? '';
      const place = 600 + Math.floor(this.random() * Math.max(1, text.length - 1200));
      for (let key = 0; key < 5 && performance.now() < end; key++) {
        const begun = performance.now();
        await this.client.complete({
          prefix: text.slice(Math.max(0, place - 4000), place + key),
          suffix: text.slice(place + key, place + 1000),
          maxTokens: 24,
          singleLine: true,
        });
        times.push(performance.now() - begun);
        await sleep(Math.max(0, 250 - (performance.now() - begun)));
      }
    }
    times.sort((a, b) => a - b);
    const at = (share: number): number =>
      times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN;
    return { p50: at(0.5), p99: at(0.99), count: times.length };
  }
}

/** Resident memory once a second. */
function watchMemory(pid: number): { end(): LoadBench['memory'] } {
  const samples: number[] = [];
  const timer = setInterval(() => samples.push(residentBytes(pid)), 1000);
  return {
    end() {
      clearInterval(timer);
      const tenth = Math.max(1, Math.floor(samples.length / 10));
      const middle = (list: number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1] ?? NaN;
      return {
        median: middle(samples),
        first: middle(samples.slice(0, tenth)),
        last: middle(samples.slice(-tenth)),
        least: Math.min(...samples),
        most: Math.max(...samples),
      };
    },
  };
}

function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

/** Waits until nothing runs or waits, ten seconds at most. @returns what is left */
async function settle(client: ServerClient): Promise<number> {
  for (let turn = 0; ; turn++) {
    const { active, queued } = await client.request('model/status', {});
    if (active + queued === 0 || turn === 100) return active + queued;
    await sleep(100);
  }
}

async function metricsOf(address: { port: number; token: string }): Promise<(name: string) => number> {
  const headers = { authorization: `Bearer ${address.token}` };
  const text = await (await fetch(`http://127.0.0.1:${address.port}/metrics`, { headers })).text();
  return (name) =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')
        .at(-1) ?? 0,
    );
}

async function addressOf(folder: string, pid: number | undefined) {
  for (let turn = 0; turn < 3000; turn++) {
    const address = await readServerFile(folder);
    if (address !== undefined && address.pid === pid) return address;
    await sleep(20);
  }
  throw new Error('The server did not start.');
}

/** The report's rows. */
export function loadTable({ seconds, clients, alone, loaded, kinds, memory, ...rest }: LoadBench): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const percent = (bytes: number, of: number): string => `${((100 * (bytes - of)) / of).toFixed(1)}%`;
  return [
    `| ${clients} clients for ${seconds} s | clients | exchanges | left early | refused as asked | errors |`,
    '|---|---|---|---|---|---|',
    ...Object.entries(kinds).map(
      ([name, { clients: count, exchanges, cancelled, refused, errors, errorCount }]) =>
        `| ${name} | ${count} | ${exchanges} | ${cancelled} | ${refused} | ${[errorCount, ...errors].join('; ')} |`,
    ),
    '',
    '| an editor beside them | p50 ms | p99 ms | completions |',
    '|---|---|---|---|',
    `| alone | ${alone.p50.toFixed(0)} | ${alone.p99.toFixed(0)} | ${alone.count} |`,
    `| under load | ${loaded.p50.toFixed(0)} | ${loaded.p99.toFixed(0)} | ${loaded.count} |`,
    '',
    `p99 under load is ${(loaded.p99 / alone.p99).toFixed(2)} times that alone. Resident memory after the warm-up: ` +
      `${megabytes(memory.first)} MB at first, ${megabytes(memory.last)} MB at the end (${percent(memory.last, memory.first)}), ` +
      `median ${megabytes(memory.median)} MB, between ${megabytes(memory.least)} (${percent(memory.least, memory.median)}) and ` +
      `${megabytes(memory.most)} MB (${percent(memory.most, memory.median)}). ${rest.cancelled} completions were cancelled, with ` +
      `${rest.unwantedTokens} tokens made after that; ${rest.left} requests were left when all had gone.`,
  ].join('\n');
}
