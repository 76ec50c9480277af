// How soon everything goes on after something was killed, filled or set from outside.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findOrStartServer, findServer } from '../../extension/server-link/find-server.ts';
import { ModelLoader } from '../../extension/server-link/model-loader.ts';
import { ServerClient } from '../../extension/server-link/server-client.ts';
import { ServerLink } from '../../extension/server-link/server-link.ts';
import { ServerWatch } from '../../extension/server-link/server-watch.ts';
import type { ServerFile } from '../../server/protocol/discovery.ts';
import type { Job } from '../../server/protocol/job.ts';
import { byteTokens, writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { buildClockShim, fillDisk, mountSmallDisk } from '../reference/outside-trouble.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';

export interface RecoveryOptions {
  /** The command line's bundle. */
  cli: string;
  /** A folder for the servers' state and for models. */
  folder: string;
  /** `starter` or a folder. */
  model: string;
  /** The bundle of test/integration/window-process.ts: a window that completes until it is killed. */
  window: string;
}

/** What happened, what had to come of it, and the milliseconds until it did; undefined where it cannot be tried here. */
export interface Recovery {
  trouble: string;
  until: string;
  ms: number | undefined;
}

/** Each trouble once, on servers of their own. */
export async function measureRecovery(options: RecoveryOptions): Promise<Recovery[]> {
  const recoveries: Recovery[] = [];
  for (const trouble of [killedServer, killedJob, killedServerWithJob, killedWindow, fullDisk, setClock]) {
    const state = join(options.folder, trouble.name);
    mkdirSync(state, { recursive: true });
    recoveries.push(...(await trouble(options, state)));
  }
  return recoveries;
}

export function recoveryTable(recoveries: readonly Recovery[]): string {
  return [
    '| what happens | until | seconds |',
    '|---|---|---|',
    ...recoveries.map(
      ({ trouble, until, ms }) =>
        `| ${trouble} | ${until} | ${ms === undefined ? 'cannot be tried here' : (ms / 1000).toFixed(2)} |`,
    ),
  ].join('\n');
}

async function killedServer({ cli, model }: RecoveryOptions, state: string): Promise<Recovery[]> {
  const link = new ServerLink({
    version: '0',
    folders: { all: () => [], onDidChange: () => ({ dispose: () => {} }) },
    start: () => ({
      ...{ stateFolder: state, node: process.execPath, cli },
      args: ['--lease-seconds', '1', '--model', model],
    }),
    log: () => {},
  });
  const watch = new ServerWatch(link, () => {});
  const models = new ModelLoader(link, watch, () => ({ model, contextLength: 0, device: 'cpu' }));
  const recoveries: Recovery[] = [];
  try {
    await link.connect();
    await models.ensureLoaded();
    for (const trouble of [
      'the server is killed in the middle of a completion',
      'the same again (back-off)',
    ]) {
      const server = await findServer(state);
      if (server === undefined) throw new Error('There is no server.');
      await new Promise<void>((resolve) => {
        link.complete({ prefix: 'const a = ', maxTokens: 400 }, () => resolve()).catch(() => {});
      });
      process.kill(server.pid, 'SIGKILL');
      const ms = await passing(() =>
        models
          .ensureLoaded()
          .then(() => link.complete({ prefix: 'const a = ', maxTokens: 8 }))
          .then(
            () => true,
            () => false,
          ),
      );
      recoveries.push({ trouble, until: 'its window completes', ms });
    }
  } finally {
    watch.dispose();
    await link.dispose();
  }
  return recoveries;
}

async function killedJob(options: RecoveryOptions, state: string): Promise<Recovery[]> {
  const server = await start(options, state);
  const client = await connect(server, state);
  const spec = distillation(state);
  try {
    const { id } = await client.request('job/start', spec);
    const steps = await runsFor(client, id);
    process.kill(processOf(await jobOf(client, id)), 'SIGKILL');
    const failed = await passing(async () => (await jobOf(client, id)).state === 'failed');
    const again = performance.now();
    const { id: next } = await client.request('job/start', spec);
    await passing(async () => (await lastStep(client, next)) > steps);
    const resumed = performance.now() - again;
    await client.request('job/cancel', { id: next });
    return [
      { trouble: 'a distillation is killed', until: 'it is listed as failed, with the way on', ms: failed },
      { trouble: 'it is started again', until: 'it has made its next step', ms: resumed },
    ];
  } finally {
    await stop(client, server);
  }
}

async function killedServerWithJob(options: RecoveryOptions, state: string): Promise<Recovery[]> {
  const server = await start(options, state);
  const client = await connect(server, state);
  const spec = distillation(state);
  const { id } = await client.request('job/start', spec);
  const steps = await runsFor(client, id);
  const pid = processOf(await jobOf(client, id));
  process.kill(server.pid, 'SIGKILL');
  const killed = performance.now();
  await client.close().catch(() => {});
  const next = await start(options, state);
  const again = await connect(next, state);
  try {
    await passing(async () => (await jobOf(again, id)).state === 'interrupted');
    const listed = performance.now() - killed;
    await passing(() => !isAlive(pid));
    const ended = performance.now() - killed;
    const { id: resumed } = await again.request('job/start', spec);
    await passing(async () => (await lastStep(again, resumed)) > steps);
    const ms = performance.now() - killed;
    await again.request('job/cancel', { id: resumed });
    const trouble = 'the server is killed while it distils';
    return [
      { trouble, until: 'the next server lists the job as interrupted', ms: listed },
      { trouble, until: 'the job has ended with a checkpoint', ms: ended },
      { trouble, until: 'the job, started again, has made its next step', ms },
    ];
  } finally {
    await stop(again, next);
  }
}

async function killedWindow({ cli, model, window }: RecoveryOptions, state: string): Promise<Recovery[]> {
  const child = spawn(process.execPath, [window, state, cli, model], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
  const server = await findServer(state);
  if (server === undefined) throw new Error('There is no server.');
  const other = await connect(server, state);
  child.kill('SIGKILL');
  const killed = performance.now();
  await ended;
  await passing(async () => {
    const { active, queued } = await other.request('model/status', {});
    return active + queued === 0;
  });
  const stopped = performance.now() - killed;
  await other.complete({ prefix: 'const a = ', maxTokens: 8 });
  const served = performance.now() - killed;
  await other.close();
  const closed = performance.now();
  await passing(() => !isAlive(server.pid));
  const trouble = 'an extension host is killed in the middle of a completion';
  return [
    { trouble, until: 'its generation has ended', ms: stopped },
    { trouble, until: 'another window has its completion', ms: served },
    {
      trouble: 'the last window has gone (lease of one second)',
      until: 'the server has ended',
      ms: performance.now() - closed,
    },
  ];
}

async function fullDisk(options: RecoveryOptions, state: string): Promise<Recovery[]> {
  const until = 'a job that was refused is done';
  const trouble = 'the full disk under the state folder has room again';
  if (!mountSmallDisk(state)) return [{ trouble, until, ms: undefined }];
  try {
    const models = join(options.folder, 'full disk');
    const inside = join(state, 'state');
    mkdirSync(inside);
    const server = await start(options, inside);
    const client = await connect(server, models);
    const spec = { kind: 'quantize' as const, model: teacherIn(models), output: join(models, 'made') };
    try {
      const filling = fillDisk(state);
      const refused = await client.request('job/start', spec).then(
        () => false,
        () => true,
      );
      if (!refused) throw new Error('The full disk was not full.');
      await client.complete({ prefix: 'const a = ', maxTokens: 8 });
      rmSync(filling);
      const begun = performance.now();
      const { id } = await client.request('job/start', spec);
      await passing(async () => (await jobOf(client, id)).state === 'done');
      return [{ trouble, until, ms: performance.now() - begun }];
    } finally {
      await stop(client, server);
    }
  } finally {
    spawn('umount', ['-l', state]);
  }
}

async function setClock(options: RecoveryOptions, state: string): Promise<Recovery[]> {
  const until = 'the same server has completed';
  const shim = buildClockShim(state);
  if (shim === undefined) return [{ trouble: 'the clock is set', until, ms: undefined }];
  const shift = join(state, 'shift');
  writeFileSync(shift, '0');
  const server = await start(options, state, { LD_PRELOAD: shim, CLOCK_SHIFT: shift });
  const client = await connect(server, state);
  try {
    await client.complete({ prefix: 'const a = ', maxTokens: 8 });
    const recoveries: Recovery[] = [];
    for (const days of [400, -400]) {
      writeFileSync(shift, String(days * 86_400));
      const begun = performance.now();
      const found = await findServer(state);
      if (found?.pid !== server.pid) throw new Error('The server is not found any more.');
      await client.complete({ prefix: 'const b = ', maxTokens: 8 });
      const way = days > 0 ? 'forward' : 'back';
      recoveries.push({ trouble: `the clock is set 400 days ${way}`, until, ms: performance.now() - begun });
    }
    return recoveries;
  } finally {
    await stop(client, server);
  }
}

/** A distillation that goes on for longer than anybody waits. */
function distillation(folder: string) {
  const data = join(folder, 'data');
  mkdirSync(data, { recursive: true });
  for (let file = 0; file < 8; file++) {
    const lines = Array.from({ length: 200 }, (_, i) => `export const v${i} = ${file} + f(${i * file});`);
    writeFileSync(join(data, `file${file}.ts`), lines.join('\n'));
  }
  const settings = { steps: 100_000, batch: 1, window: 32 };
  return {
    ...{
      kind: 'distill' as const,
      teacher: teacherIn(folder),
      data: [data],
      output: join(folder, 'student'),
    },
    ...settings,
  };
}

function teacherIn(folder: string): string {
  const path = join(folder, 'teacher');
  mkdirSync(path, { recursive: true });
  const shape = { hiddenSize: 32, intermediateSize: 64, layers: 1, heads: 2, kvHeads: 2, headDim: 16 };
  writeRandomCheckpoint(path, { layout: 'full', dtype: 'F16', vocabSize: byteTokens.vocabSize, ...shape });
  writeByteTokenizer(path);
  return path;
}

async function start(
  { cli, model }: RecoveryOptions,
  stateFolder: string,
  environment: Record<string, string> = {},
): Promise<ServerFile> {
  return findOrStartServer({
    ...{ stateFolder, node: process.execPath, cli, environment, timeoutMs: 60_000 },
    args: ['--lease-seconds', '60', '--device', 'cpu', '--model', model],
  });
}

async function connect(server: ServerFile, folder: string): Promise<ServerClient> {
  const client = await ServerClient.connect(server, { client: 'bench', version: '0' });
  await client.request('folders/set', { folders: [folder] });
  return client;
}

async function stop(client: ServerClient, { pid }: ServerFile): Promise<void> {
  await client.request('server/stop', {}).catch(() => {});
  await client.close().catch(() => {});
  await passing(() => !isAlive(pid));
}

/** Milliseconds until it is so. */
async function passing(isSo: () => Promise<boolean> | boolean): Promise<number> {
  const begun = performance.now();
  while (!(await isSo())) {
    if (performance.now() - begun > 120_000) throw new Error('It did not come within two minutes.');
    await sleep(10);
  }
  return performance.now() - begun;
}

async function jobOf(client: ServerClient, id: string): Promise<Job> {
  const job = (await client.request('job/list', {})).find((each) => each.id === id);
  if (job === undefined) throw new Error(`Job ${id} is not listed.`);
  return job;
}

function processOf({ folder }: Job): number {
  const path = join(folder, 'process.json');
  if (!existsSync(path)) throw new Error('The job has no process.');
  return (JSON.parse(readFileSync(path, 'utf8')) as { pid: number }).pid;
}

async function lastStep(client: ServerClient, id: string): Promise<number> {
  return (await client.request('job/metrics', { id })).metrics.at(-1)?.step ?? 0;
}

/** Waits until the run has made some steps. @returns the last one */
async function runsFor(client: ServerClient, id: string): Promise<number> {
  await passing(async () => {
    const { state, error } = await jobOf(client, id);
    if (state === 'failed') throw new Error(error?.message);
    return (await lastStep(client, id)) >= 20;
  });
  return lastStep(client, id);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
