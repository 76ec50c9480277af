import { describe, expect, test } from 'vitest';
import {
  formatBytes,
  formatDuration,
  jobProgressLine,
  statusView,
  type StatusInputs,
} from '../../../extension/views/status-state.ts';
import type { Job } from '../../../server/protocol/job.ts';
import type { ModelStatus } from '../../../server/protocol/model.ts';

const ready: ModelStatus = {
  state: 'ready',
  model: {
    id: 'starter',
    name: 'starter',
    path: '/x/starter',
    kind: 'onebit',
    parameters: 3_200_000,
    bytes: 2_400_000,
    infill: true,
    chat: false,
  },
  memory: {
    device: { kind: 'cpu', name: 'CPU', path: 'avx512' },
    parts: [],
    modelBytes: 2_400_000,
    fp16ModelBytes: 6_400_000,
    bitsPerLinearWeight: 1.1,
    linearWeights: 2_000_000,
    kvCacheBytes: 1_000_000,
    kvElementBytes: 2,
    contextLength: 1024,
  },
  active: 0,
  queued: 0,
};

const running: Job = {
  id: 'j1',
  spec: { kind: 'distill', teacher: '/m/teacher', data: ['/d'], output: '/m/teacher-onebit' },
  state: 'running',
  created: '2026-01-01T00:00:00Z',
  folder: '/s/jobs/j1',
  progress: {
    phase: 'distill',
    done: 120,
    total: 300,
    unit: 'steps',
    remainingSeconds: 725,
    metrics: { loss: 1.23456 },
  },
};

const calm: StatusInputs = {
  completionsOff: undefined,
  link: { state: 'connected' },
  model: ready,
  jobs: [],
  generating: 0,
  completionError: undefined,
};
const textOf = (change: Partial<StatusInputs>) => statusView({ ...calm, ...change }).text;

describe('the status bar item', () => {
  test.each<[string, Partial<StatusInputs>]>([
    ['$(symbol-boolean) OneBit', {}],
    ['$(loading~spin) OneBit', { generating: 1 }],
    ['$(circle-slash) OneBit: off', { completionsOff: 'everywhere' }],
    ['$(circle-slash) OneBit: off here', { completionsOff: 'language' }],
    ['$(circle-slash) OneBit: off here', { completionsOff: 'file' }],
    ['$(debug-pause) OneBit: stopped', { link: { state: 'stopped' }, model: undefined }],
    ['$(loading~spin) OneBit: starting', { link: { state: 'starting' }, model: undefined }],
    ['$(loading~spin) OneBit: loading', { model: { ...ready, state: 'loading' } }],
    ['$(sync~spin) OneBit: distilling 40%', { jobs: [running] }],
    ['$(sync~spin) OneBit: distilling', { jobs: [{ ...running, progress: undefined }] }],
    ['$(sync~spin) OneBit: distilling 40%', { jobs: [running], generating: 1, completionsOff: 'everywhere' }],
    ['$(error) OneBit: error', { link: { state: 'failed', error: 'no Node' }, jobs: [running] }],
    ['$(error) OneBit: error', { model: { ...ready, state: 'failed', error: 'bad file' } }],
    ['$(warning) OneBit: error', { completionError: 'queue full' }],
  ])('%s', (text, change) => expect(textOf(change)).toBe(text));

  test.each<[string, Job['progress']]>([
    ['the memory it needs', { phase: 'memory', done: 1e9, total: 4e9, unit: 'bytes' }],
    ['data that is read', { phase: 'read data', done: 3, total: 3, unit: 'files' }],
    ['a start that is made', { phase: 'SVID', done: 42, total: 42, unit: 'tensors' }],
    ['a teacher that is measured', { phase: 'perplexity', done: 7, total: 7, unit: 'windows' }],
  ])('%s is no share of a distillation', (_, progress) =>
    expect(textOf({ jobs: [{ ...running, progress }] })).toBe('$(sync~spin) OneBit: distilling'),
  );

  test('a quantization is done with its last tensor', () => {
    const progress = { phase: 'SVID', done: 41, total: 42, unit: 'tensors' as const };
    const spec = { kind: 'quantize' as const, model: '/m/teacher', output: '/m/teacher-svid' };
    expect(textOf({ jobs: [{ ...running, spec, progress }] })).toBe('$(sync~spin) OneBit: quantizing 97%');
  });

  test('a job that is not running does not show', () =>
    expect(textOf({ jobs: [{ ...running, state: 'done' }] })).toBe('$(symbol-boolean) OneBit'));

  test('errors say why, in the tooltip, and are coloured', () => {
    const view = statusView({ ...calm, link: { state: 'failed', error: 'exit code 1' } });
    expect(view.isError).toBe(true);
    expect(view.tooltip[0]).toBe('exit code 1');
  });

  test('the tooltip says what a click does: the menu, where something is wrong', () => {
    const said = (change: Partial<StatusInputs>) => statusView({ ...calm, ...change }).tooltip.join('\n');
    expect(said({})).toContain('Click to turn them off.');
    expect(said({ completionsOff: 'file' })).toContain('off for this file. Click to turn them on.');
    expect(said({ link: { state: 'failed', error: 'x' } })).toContain('Click for the menu.');
  });

  test('the tooltip names the model and its memory', () => {
    const lines = statusView(calm).tooltip;
    expect(lines).toContain('Model: starter');
    expect(lines).toContain('Memory: 2.4 MB (6.4 MB in fp16), KV cache 1 MB');
    expect(lines).toContain('Runs on: CPU (avx512)');
  });

  test('the tooltip follows the job', () =>
    expect(statusView({ ...calm, jobs: [running] }).tooltip.at(-1)).toBe(
      'Distilling: distill 120 of 300 steps, loss 1.235, 12 min left',
    ));
});

test('a job that waits says so', () =>
  expect(jobProgressLine({ ...running, state: 'queued', progress: undefined })).toBe(
    'waiting for another job',
  ));

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1 kB'],
  [1_349_000_000, '1.35 GB'],
  [13_500_000_000, '13.5 GB'],
  [999_600, '1 MB'],
  [123_456, '123 kB'],
])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0.2, '1 s'],
  [45, '45 s'],
  [59.7, '1 min'],
  [3599, '1 h 0 min'],
  [12_000, '3 h 20 min'],
])('%d seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));
