import { describe, expect, it } from 'vitest';
import { jobArguments, resolveSpec } from '../../../server/jobs/job-command.ts';
import { jobSpecSchema, type JobSpec } from '../../../server/protocol/job.ts';

const distill: JobSpec = { kind: 'distill', teacher: '/m/teacher', data: ['/d/code'], output: '/m/student' };

describe('the command of a job', () => {
  it('says what the request said, field by field, and nothing else', () => {
    const spec: JobSpec = {
      ...distill,
      steps: 7,
      teacherCache: '/c/cache',
      teacherCacheTop: 8,
      hiddenWeight: 0,
    };
    const given = jobArguments(resolveSpec(spec), '/jobs/j');
    const usual = jobArguments(resolveSpec(distill), '/jobs/j');
    const own = given.filter((word) => !usual.includes(word));
    expect(own).toEqual([
      '--steps',
      '7',
      '--teacher-cache',
      '/c/cache',
      '--teacher-cache-top',
      '8',
      '--hidden-weight',
      '0',
    ]);
    expect(usual).toEqual([
      ...['distill', '--teacher', '/m/teacher', '--data', '/d/code', '--output', '/m/student'],
      ...['--run', '/m/student.run', '--progress', 'json'],
    ]);
  });

  it('compares models into the job’s own folder', () => {
    const spec = jobSpecSchema.parse({
      ...{ kind: 'evaluate', teacher: '/m/teacher', students: ['/m/a', '/m/b'], baselines: [] },
      ...{ text: '/d/held-out.txt', stride: 64, tasks: { piqa: '/d/piqa.jsonl' }, limit: 5 },
    });
    expect(jobArguments(resolveSpec(spec), '/jobs/j')).toEqual([
      ...['compare', '--teacher', '/m/teacher', '--students', '/m/a', '/m/b', '--baselines', 'none'],
      ...['--text', '/d/held-out.txt', '--stride', '64', '--limit', '5', '--task', 'piqa=/d/piqa.jsonl'],
      ...['--output', '/jobs/j/report', '--progress', 'json'],
    ]);
    expect(() => resolveSpec({ kind: 'evaluate', teacher: '/m/t', tasks: { piqa: 'p.jsonl' } })).toThrow(
      /piqa: "p.jsonl" is a relative path/,
    );
  });

  it('takes no relative path, because the server works in a folder of its own', () => {
    expect(() => resolveSpec({ ...distill, teacherCache: 'cache' })).toThrow(
      /teacherCache: "cache" is a relative path/,
    );
  });
});
