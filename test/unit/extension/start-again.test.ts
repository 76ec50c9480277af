import { expect, test } from 'vitest';
import { startAgain } from '../../../extension/commands/start-again.ts';
import { OneBitError } from '../../../server/protocol/error.ts';
import type { Job } from '../../../server/protocol/job.ts';

const job: Job = {
  ...{ id: 'j', state: 'queued', created: '2026-01-01T00:00:00Z', folder: '/s/jobs/j' },
  spec: { kind: 'quantize', model: '/far/teacher', output: '/away/student' },
};

/** A server that refuses what is not open, one path at a time, as the real one does. */
function server(open: Set<string>) {
  const asked: string[] = [];
  const start = (): Promise<Job> => {
    for (const path of ['/far', '/away']) {
      if (!open.has(path)) return Promise.reject(new OneBitError('not-allowed', `${path} lies outside`));
    }
    return Promise.resolve(job);
  };
  return { asked, start };
}

test('asks for what is refused, one after the other, and starts then', async () => {
  const open = new Set<string>();
  const { asked, start } = server(open);
  const started = await startAgain(start, (refusal) => {
    asked.push(refusal);
    open.add(refusal.split(' ')[0] ?? '');
    return Promise.resolve(true);
  });
  expect(started).toBe(job);
  expect(asked).toEqual(['/far lies outside', '/away lies outside']);
});

test('asks nothing where nothing is refused, and says the refusal to a user who gives up', async () => {
  const never = () => Promise.reject(new Error('asked'));
  expect(await startAgain(server(new Set(['/far', '/away'])).start, never)).toBe(job);
  const givesUp = startAgain(server(new Set()).start, () => Promise.resolve(false));
  await expect(givesUp).rejects.toMatchObject({ code: 'not-allowed', message: '/far lies outside' });
});

test('other errors are not asked about, and wrong picks come to an end', async () => {
  const full = () => Promise.reject(new OneBitError('no-space', 'full'));
  await expect(startAgain(full, () => Promise.resolve(true))).rejects.toMatchObject({ code: 'no-space' });
  const wrong = startAgain(server(new Set()).start, () => Promise.resolve(true));
  await expect(wrong).rejects.toMatchObject({ code: 'not-allowed' });
});
