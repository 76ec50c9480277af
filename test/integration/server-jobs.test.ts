import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ServerClient } from '../../extension/server-link/server-client.ts';
import type { Job, JobProgress, JobState } from '../../server/protocol/job.ts';
import { writeByteTokenizer, byteTokens } from '../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { cleanUp, connect, eventually, ServeProcess, temporaryFolder } from './serve-process.ts';

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let server: Awaited<ReturnType<typeof ServeProcess.start>>;
let client: ServerClient;
let small: string;
let medium: string;

beforeAll(async () => {
  small = fullModel({});
  medium = fullModel({ hiddenSize: 256, intermediateSize: 512, layers: 4, heads: 4, kvHeads: 4 });
  server = await ServeProcess.start([]);
  client = await connect(server.file);
});
afterAll(cleanUp);

function fullModel(shape: object): string {
  const folder = temporaryFolder('teacher');
  writeRandomCheckpoint(folder, { layout: 'full', dtype: 'F16', vocabSize: byteTokens.vocabSize, ...shape });
  writeByteTokenizer(folder);
  return folder;
}
const output = (): string => join(temporaryFolder('output'), 'model');

async function job(id: string, from = client): Promise<Job> {
  const found = (await from.request('job/list', {})).find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`job ${id} is not listed`);
  return found;
}
const reaches = (id: string, ...states: JobState[]): Promise<Job> =>
  eventually(`job ${states.join(' or ')}`, async () => {
    const now = await job(id);
    return states.includes(now.state) ? now : undefined;
  });
const reachesProcess = (id: string): Promise<Job> =>
  eventually('a running job', async () => {
    const now = await job(id);
    return existsSync(join(now.folder, 'process.json')) ? now : undefined;
  });
const processIdOf = (running: Job): number =>
  (JSON.parse(readFileSync(join(running.folder, 'process.json'), 'utf8')) as { pid: number }).pid;
/** The process of a job, held still as soon as it exists: so it cannot end before the test has acted on it. */
async function heldProcess(id: string): Promise<number> {
  const pid = processIdOf(await reachesProcess(id));
  process.kill(pid, 'SIGSTOP');
  expect((await job(id)).state).toBe('running');
  return pid;
}
const gone = (pid: number): Promise<true> =>
  eventually(`the end of process ${pid}`, () => {
    try {
      process.kill(pid, 0);
      return undefined;
    } catch {
      return true;
    }
  });

/** Lets a held process go on. The system itself may have ended it meanwhile, as it does with a stopped orphan. */
function resume(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

describe('jobs', () => {
  it('quantize in a process of their own, with progress, to a model that the server can load', async () => {
    const told: JobProgress[] = [];
    client.onNotification('job/progress', (progress) => told.push(progress));
    await client.request('subscribe', { topics: ['jobs'] });
    const target = output();
    const started = await client.request('job/start', { kind: 'quantize', model: small, output: target });
    const done = await reaches(started.id, 'done', 'failed');
    expect(done.error).toBeUndefined();
    expect(done).toMatchObject({ state: 'done', spec: { model: small, output: target } });
    const states = told.filter(({ job: { id } }) => id === started.id).map(({ job: { state } }) => state);
    expect(states[0]).toBe('queued');
    expect(states).toContain('running');
    expect(states.at(-1)).toBe('done');
    expect(done.progress).toMatchObject({ unit: 'tensors' });
    expect(JSON.parse(readFileSync(join(done.folder, 'job.json'), 'utf8'))).toMatchObject({ state: 'done' });
    expect(readFileSync(join(done.folder, 'log.txt'), 'utf8')).toContain('exit code 0');
    expect(await client.request('model/load', { model: target })).toMatchObject({
      state: 'ready',
      model: { kind: 'onebit' },
    });
    const read: Record<string, number[]> = {};
    client.onNotification('inspect/progress', ({ id, progress }) => (read[id] ??= []).push(progress.done));
    const [{ layers }] = await Promise.all([
      client.request('inspect/layers', { id: 'first', model: target, teacher: small }),
      client.request('inspect/layers', { id: 'second', model: target }),
    ]);
    expect(layers).toHaveLength(14);
    const each = Array.from({ length: 14 }, (_, i) => i + 1);
    expect(read).toEqual({ first: each, second: each });
    expect(layers.every(({ teacher }) => teacher?.signAgreement === 1)).toBe(true);
    const { name, rows, columns } = layers[0] as (typeof layers)[0];
    const tile = { model: target, name, level: 0, x: 0, y: 0 };
    expect(await client.request('inspect/tile', tile)).toMatchObject({ height: rows, width: columns });
  });

  it('compare models, with the report in the job’s folder', async () => {
    const text = join(temporaryFolder('text'), 'held-out.txt');
    writeFileSync(text, 'let one = 1;\n'.repeat(20));
    const spec = { kind: 'evaluate' as const, teacher: small, baselines: ['rtn' as const], text, window: 16 };
    const { id } = await client.request('job/start', spec);
    const done = await reaches(id, 'done', 'failed');
    expect(done.error).toBeUndefined();
    const report = JSON.parse(readFileSync(join(done.folder, 'report.json'), 'utf8')) as {
      models: unknown[];
    };
    expect(report.models).toHaveLength(2);
    expect(readFileSync(join(done.folder, 'report.md'), 'utf8')).toMatch(/\| round-to-nearest, 1-bit \|/);
    const nothing = await client.request('job/start', { kind: 'evaluate', teacher: small });
    const failed = await reaches(nothing.id, 'failed', 'done');
    expect(failed.error).toMatchObject({ message: expect.stringContaining('nothing to compare by') });
  });

  it('fail with the words of the command', async () => {
    const { id } = await client.request('job/start', {
      kind: 'quantize',
      model: join(small, 'missing'),
      output: output(),
    });
    const failed = await reaches(id, 'failed', 'done');
    expect(failed.error).toMatchObject({ code: 'not-found', message: expect.stringContaining('missing') });
  });

  it('refuse a relative path and an unknown id', async () => {
    await expect(
      client.request('job/start', { kind: 'quantize', model: 'relative', output: '/tmp/x' }),
    ).rejects.toMatchObject({ code: 'bad-request', message: expect.stringContaining('model') });
    await expect(client.request('job/cancel', { id: 'none' })).rejects.toMatchObject({ code: 'not-found' });
  });

  it('run one at a time; the same output folder is busy; cancelling leaves no process and no output', async () => {
    const target = output();
    const first = await client.request('job/start', { kind: 'quantize', model: medium, output: target });
    await expect(
      client.request('job/start', { kind: 'quantize', model: small, output: target }),
    ).rejects.toMatchObject({ code: 'busy', message: expect.stringContaining(first.id) });
    const second = await client.request('job/start', { kind: 'quantize', model: small, output: output() });
    expect(second.state).toBe('queued');
    const pid = await heldProcess(first.id);
    expect((await job(second.id)).state).toBe('queued');
    const cancelling = client.request('job/cancel', { id: first.id });
    // The next answer shows that the server has passed the cancellation on.
    await client.request('job/list', {});
    process.kill(pid, 'SIGCONT');
    expect((await cancelling).state).toBe('cancelled');
    expect(() => process.kill(pid, 0)).toThrow();
    expect(existsSync(target)).toBe(false);
    expect((await reaches(second.id, 'done', 'failed')).state).toBe('done');
    const queued = await client.request('job/start', { kind: 'quantize', model: small, output: target });
    expect((await reaches(queued.id, 'done', 'failed')).state).toBe('done');
  });

  it('distill, and continue a cancelled run with its whole curve', async () => {
    const teacher = fullModel({
      hiddenSize: 32,
      intermediateSize: 64,
      layers: 1,
      heads: 2,
      kvHeads: 2,
      headDim: 16,
    });
    const data = temporaryFolder('data');
    for (let file = 0; file < 8; file++) {
      const lines = Array.from({ length: 60 }, (_, i) => `export const v${i} = ${file} + f(${i * file});`);
      writeFileSync(join(data, `file${file}.ts`), lines.join('\n'));
    }
    const spec = { kind: 'distill' as const, teacher, data: [data], output: output() };
    const short = { ...spec, steps: 6, batch: 1, window: 16 };
    const told: JobProgress[] = [];
    const listening = client.onNotification('job/progress', (progress) => told.push(progress));
    const first = await client.request('job/start', short);
    const pid = processIdOf(await reachesProcess(first.id));
    await eventually('the first step', async () => {
      const { state, error } = await job(first.id);
      if (state === 'failed') throw new Error(error?.message);
      return told.find((progress) => progress.job.id === first.id && progress.metrics.length > 0);
    });
    process.kill(pid, 'SIGSTOP');
    const cancelling = client.request('job/cancel', { id: first.id });
    await client.request('job/list', {});
    process.kill(pid, 'SIGCONT');
    expect((await cancelling).state).toBe('cancelled');
    const before = (await client.request('job/metrics', { id: first.id })).metrics;
    expect(before.length).toBeGreaterThan(0);
    expect(before.length).toBeLessThan(6);

    const second = await client.request('job/start', short);
    expect((await reaches(second.id, 'done', 'failed')).error).toBeUndefined();
    const { metrics } = await client.request('job/metrics', { id: second.id });
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(metrics.slice(0, before.length)).toEqual(before);
    const streamed = told
      .filter((progress) => progress.job.id === second.id)
      .flatMap((progress) => progress.metrics);
    expect(streamed).toEqual(metrics);
    expect(await client.request('model/load', { model: spec.output })).toMatchObject({ state: 'ready' });
    listening.dispose();
  });

  it('that are killed by a signal fail, say so and how to go on', async () => {
    const { id } = await client.request('job/start', { kind: 'quantize', model: medium, output: output() });
    process.kill(await heldProcess(id), 'SIGKILL');
    const failed = await reaches(id, 'failed', 'done');
    expect(failed.error?.message).toMatch(/SIGKILL.*memory.*Start it again/);
  });

  it('end when the server is killed, and the next server lists them as interrupted', async () => {
    const target = output();
    const { id } = await client.request('job/start', { kind: 'quantize', model: medium, output: target });
    const pid = await heldProcess(id);
    const before = (await client.request('job/list', {})).map((listed) => listed.id);
    server.child.kill('SIGKILL');
    await server.ended;
    resume(pid);
    await gone(pid);
    expect(existsSync(target)).toBe(false);
    server = await ServeProcess.start([], server.stateFolder);
    client = await connect(server.file);
    const after = await client.request('job/list', {});
    expect(after.map((listed) => listed.id)).toEqual(before);
    expect(after.find((listed) => listed.id === id)).toMatchObject({ state: 'interrupted' });
  });

  it('are interrupted when the server is stopped, which does not wait for one that hangs', async () => {
    const { id, folder } = await client.request('job/start', {
      kind: 'quantize',
      model: medium,
      output: output(),
    });
    const pid = await heldProcess(id);
    expect((await server.stop()).code).toBe(0);
    expect(JSON.parse(readFileSync(join(folder, 'job.json'), 'utf8'))).toMatchObject({
      state: 'interrupted',
    });
    resume(pid);
    await gone(pid);
  });
});
