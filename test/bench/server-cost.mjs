// What the server takes beside the model: per token over the engine's own time, and while nobody asks. And what decoding
// keeps while other processes take half of every core.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from './bundle.mjs';

/** Busy for 5 ms, then asleep for 5; prints its CPU time in ms when it is told to end. */
const halfACore = `
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const half = () => {
    const until = performance.now() + 5;
    while (performance.now() < until);
    Atomics.wait(nobody, 0, 0, 5);
    setImmediate(half);
  };
  process.on('SIGTERM', () => {
    const { user, system } = process.cpuUsage();
    process.stdout.write(String((user + system) / 1000), () => process.exit());
  });
  half();`;

/** Tokens a second of a process of its own, with the prompt and count of tokens given. */
function decodeSpeed({ cli, model, threads, decode, repeats = 3 }) {
  const args = [cli, 'bench', '--device', 'cpu', '--model', model, '--threads', threads, '--prefill', 64];
  const run = [...args, '--decode', decode, '--repeats', repeats, '--json'].map(String);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, run, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.once('close', (code) => {
      if (code !== 0) return reject(new Error(`bench ended with ${code}`));
      resolve(JSON.parse(output.trim().split('\n').at(-1)).decode.tokensPerSecond);
    });
  });
}

/** Decoding alone and beside one process a core that wants half of it, in turns; long enough for the others to count. */
export async function measureContention(options, rounds) {
  const [alone, beside, shares] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    alone.push(await decodeSpeed(options));
    const started = performance.now();
    const others = cpus().map(() =>
      spawn(process.execPath, ['-e', halfACore], { stdio: ['ignore', 'pipe', 'inherit'] }),
    );
    const used = others.map(
      (other) => new Promise((resolve) => other.stdout.once('data', (text) => resolve(Number(text)))),
    );
    await sleep(500);
    beside.push(await decodeSpeed(options));
    const wall = performance.now() - started;
    for (const other of others) other.kill('SIGTERM');
    const taken = (await Promise.all(used)).reduce((sum, ms) => sum + ms, 0);
    shares.push(1 - taken / (wall * cpus().length));
  }
  return { alone: median(alone), beside: median(beside), coresLeft: median(shares) };
}

export function contentionText({ alone, beside, coresLeft }) {
  const percent = (share) => `${(100 * share).toFixed(0)} %`;
  return (
    `Decoding alone ${alone.toFixed(1)} tokens/s; beside processes that leave ${percent(coresLeft)} of the cores ` +
    `${beside.toFixed(1)}: ${percent(beside / alone)}.`
  );
}

/** User and system time of a process in ms, of all its threads. */
function cpuTime(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  const ticks = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout);
  return (1000 * (Number(fields[11]) + Number(fields[12]))) / ticks;
}

/**
 * A server with the model loaded: wall time of a streamed token over the engine's own, and the share of a core that it
 * takes over `idleSeconds` without a request. Linux only for the latter.
 */
export async function measureServerCost({ folder, idleSeconds, ...options }) {
  mkdirSync(folder, { recursive: true });
  const { cli, model, threads, decode } = options;
  const server = spawn(
    process.execPath,
    [cli, 'serve', '--device', 'cpu', '--model', model, '--threads', String(threads)],
    { env: { ...process.env, ONEBIT_STATE: folder }, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  try {
    const file = join(folder, 'server.json');
    while (!existsSync(file)) await sleep(50);
    const { port, token } = JSON.parse(readFileSync(file, 'utf8'));
    const stream = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({
          prompt: "import { readFileSync } from 'node:fs';\n\nexport function ",
          max_tokens: decode,
          temperature: 0,
          stream: true,
        }),
      });
      if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
      const times = [];
      const decoder = new TextDecoder();
      for await (const bytes of response.body) {
        const count = decoder.decode(bytes, { stream: true }).split('data: {').length - 1;
        for (let i = 0; i < count; i++) times.push(performance.now());
      }
      return { events: times.length, perEvent: (times.at(-1) - times[0]) / (times.length - 1) };
    };
    for (let i = 0; i < 5; i++) await stream();
    const [walls, engines] = [[], []];
    let events = 0;
    for (let i = 0; i < 7; i++) {
      const run = await stream();
      walls.push(run.perEvent);
      events = run.events;
    }
    for (let i = 0; i < 3; i++) engines.push(1000 / (await decodeSpeed(options)));
    let idleMs;
    if (process.platform === 'linux') {
      await sleep(10_000); // what the streams left behind is collected meanwhile
      const before = cpuTime(server.pid);
      await sleep(1000 * idleSeconds);
      idleMs = cpuTime(server.pid) - before;
    }
    return { events, streamedMs: median(walls), engineMs: median(engines), idleMs, idleSeconds };
  } finally {
    server.kill('SIGTERM');
  }
}

export function serverCostText({ streamedMs, engineMs, idleMs, idleSeconds }) {
  const over = `A streamed token takes ${streamedMs.toFixed(3)} ms, of which the engine ${engineMs.toFixed(3)}: ${(streamedMs - engineMs).toFixed(3)} ms over it.`;
  if (idleMs === undefined) return over;
  const share = (idleMs / (10 * idleSeconds)).toFixed(2);
  return `${over}\n\nWith the model loaded and nobody asking, the server took ${idleMs.toFixed(0)} ms of CPU in ${idleSeconds} s (${share} % of a core).`;
}
