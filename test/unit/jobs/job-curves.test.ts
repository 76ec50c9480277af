import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exportJob } from '../../../server/jobs/export-job.ts';
import { readCurves } from '../../../server/jobs/job-curves.ts';
import type { Job, Metric } from '../../../server/protocol/job.ts';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'onebit-curves-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const floats = (text = '') => [...new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)];
const doubles = (text = '') => [...new Float64Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)];

function metric(step: number): Metric {
  return {
    step,
    seconds: step / 4,
    loss: 1 / step,
    learningRate: 0.001,
    tokensPerSecond: 100,
    tokens: 1024 * step,
    ...(step % 10 === 0
      ? { perplexity: step, signFlips: { sinceLast: [0, 0.5], sinceStart: [0.25, 0.75] } }
      : {}),
  };
}

const line = (step: number) => `${JSON.stringify(metric(step))}\n`;

test('a run comes as columns, in pieces that together are the whole', async () => {
  const path = join(folder, 'metrics.jsonl');
  writeFileSync(path, Array.from({ length: 50 }, (_, i) => line(i + 1)).join(''));
  const steps: number[] = [];
  const losses: number[] = [];
  const measured: number[] = [];
  let pieces = 0;
  for (let from = 0, complete = false; !complete; pieces++) {
    const piece = await readCurves(path, from, 700);
    steps.push(...doubles(piece.axes.step));
    losses.push(...floats(piece.columns.loss));
    measured.push(...piece.measured.map(({ step }) => step));
    expect(doubles(piece.axes.tokens)).toHaveLength(piece.points);
    ({ next: from, complete } = piece);
  }
  expect(pieces).toBeGreaterThan(5);
  expect(steps).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  expect(losses).toEqual(steps.map((step) => Math.fround(1 / step)));
  expect(measured).toEqual([10, 20, 30, 40, 50]);
});

test('what a step does not have is no number, and a figure that none has is no column', async () => {
  const path = join(folder, 'sparse.jsonl');
  writeFileSync(path, line(9) + line(10));
  const { columns } = await readCurves(path, 0);
  expect(floats(columns.perplexity)).toEqual([NaN, 10]);
  expect(floats(columns.signFlips)).toEqual([NaN, 0.5]);
  expect(columns.kl).toBeUndefined();
});

test('a line that is being written is read when it is whole; one that was cut short is left out', async () => {
  const path = join(folder, 'growing.jsonl');
  writeFileSync(path, `${line(1)}{"step":2,"seco`);
  const first = await readCurves(path, 0);
  expect(doubles(first.axes.step)).toEqual([1]);
  appendFileSync(path, `\n${line(3)}`);
  expect(doubles((await readCurves(path, first.next)).axes.step)).toEqual([3]);
  expect(await readCurves(join(folder, 'none.jsonl'), 0)).toMatchObject({
    points: 0,
    next: 0,
    complete: true,
  });
});

test('a run is exported for TensorBoard under one name, and as CSV', () => {
  const job: Job = {
    id: 'd',
    spec: { kind: 'distill', teacher: '/t', data: ['/d'], output: '/models/student' },
    state: 'done',
    created: '2026-01-01T00:00:00.000Z',
    ended: '2026-01-01T00:01:00.000Z',
    folder: '/jobs/d',
  };
  const csv = exportJob(job, [metric(1), metric(10)], 'csv');
  expect(csv).toMatchObject({ name: 'student.csv', steps: 2 });
  expect(Buffer.from(csv.content, 'base64').toString().split('\r\n')[0]).toContain('step,seconds,loss');
  const events = exportJob(job, [metric(1)], 'tensorboard');
  expect(events.name).toBe('student/events.out.tfevents.0.onebit');
  expect(Buffer.from(events.content, 'base64').includes('brain.Event:2')).toBe(true);
  expect(() => exportJob(job, [], 'csv')).toThrow('no step yet');
});
