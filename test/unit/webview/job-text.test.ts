import { expect, it } from 'vitest';
import type { Job, JobSpec } from '../../../server/protocol/job.ts';
import { jobTarget, jobTitle } from '../../../webview/runs/job-text.ts';

it.each<[JobSpec, string, string]>([
  [{ kind: 'quantize', model: '/m/llama', output: '/m/llama-svid' }, 'Quantize llama', '→ llama-svid'],
  [
    { kind: 'distill', teacher: '/m/llama', data: ['/d'], output: '/m/llama-onebit' },
    'Distill llama',
    '→ llama-onebit',
  ],
  [{ kind: 'evaluate', teacher: '/m/llama', text: '/d/t.txt' }, 'Compare with llama', '→ report'],
])('a job says what it does and where to', (spec, title, target) => {
  const job: Job = { id: 'j', spec, state: 'done', created: '2026-01-01T00:00:00Z', folder: '/jobs/j' };
  expect([jobTitle(job), jobTarget(job)]).toEqual([title, target]);
});
