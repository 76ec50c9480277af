import { describe, expect, test } from 'vitest';
import { jobRows, modelRows } from '../../../extension/views/tree-rows.ts';
import type { Job } from '../../../server/protocol/job.ts';
import type { ModelStatus, ModelSummary } from '../../../server/protocol/model.ts';

const starter: ModelSummary = {
  ...{ id: 'starter', name: 'Starter model', path: '/x/starter', kind: 'onebit', parameters: 3_200_000 },
  ...{ bytes: 2_400_000, infill: true, chat: false },
};
const teacher: ModelSummary = {
  ...{ id: '/m/teacher', name: 'teacher', path: '/m/teacher', kind: 'full', parameters: 6.74e9 },
  ...{ bytes: 13.5e9, infill: false, chat: false },
};
const status = (state: ModelStatus['state'], error?: string): ModelStatus => ({
  ...{ state, model: starter, active: 0, queued: 0 },
  ...(error === undefined ? {} : { error }),
});

describe('models', () => {
  test('say what they are, and which one completes', () => {
    expect(modelRows([starter, teacher], status('ready'))).toMatchObject([
      {
        ...{ id: 'starter', description: 'in use, 1 bit, 2.4 MB, fills in the middle', icon: 'check' },
        ...{ context: 'model.onebit.inUse', tooltip: 'Shipped with OneBit\n3.2 M parameters' },
      },
      {
        ...{ id: '/m/teacher', description: 'full precision, 13.5 GB', icon: 'symbol-numeric' },
        ...{ context: 'model.full', tooltip: '/m/teacher\n6.74 B parameters' },
      },
    ]);
  });

  test('say that one is loading, or why it failed and can be tried again', () => {
    expect(modelRows([starter], status('loading'))).toMatchObject([{ icon: 'loading~spin' }]);
    const [failed] = modelRows([starter], status('failed', 'Too large.'));
    expect(failed).toMatchObject({ icon: 'error', context: 'model.onebit' });
    expect(failed?.tooltip).toContain('Too large.');
    expect(modelRows([starter], undefined)).toMatchObject([{ context: 'model.onebit' }]);
  });
});

describe('jobs', () => {
  const job = (id: string, minute: number, rest: Partial<Job>): Job => ({
    ...{ id, spec: { kind: 'quantize', model: '/m/teacher', output: '/m/teacher-svid' }, state: 'done' },
    ...{ created: `2026-01-01T00:0${minute}:00Z`, folder: `/s/jobs/${id}`, ...rest },
  });
  const evaluation: Job['spec'] = { kind: 'evaluate', teacher: '/m/teacher' };

  test('come newest first, with what can be done with them', () => {
    const rows = jobRows([
      job('a', 1, { state: 'running', progress: { phase: 'SVID', done: 1, total: 4, unit: 'tensors' } }),
      job('b', 2, { state: 'cancelled' }),
      job('c', 3, { spec: evaluation }),
      job('d', 4, { state: 'failed', error: { code: 'bad-file', message: 'No header.' } }),
      job('e', 5, { spec: evaluation, state: 'queued' }),
    ]);
    expect(rows.map(({ id, context }) => `${id} ${context}`)).toEqual([
      ...['e job.active', 'd job.ended', 'c job.report', 'b job.stopped', 'a job.active'],
    ]);
    expect(rows.map(({ label }) => label)).toContain('Compare with teacher');
    expect(rows[1]?.tooltip).toContain('No header.');
    expect(rows[4]).toMatchObject({ label: 'Quantize teacher', description: '25%, SVID 1 of 4 tensors' });
    expect(rows[0]?.description).toBe('waiting for another job');
    const progress = { phase: 'memory', done: 1e9, total: 4e9, unit: 'bytes' as const };
    expect(jobRows([job('f', 6, { state: 'running', progress })])[0]?.description).toBe(
      'memory 1 GB of 4 GB',
    );
  });
});
