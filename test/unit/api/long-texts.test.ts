import { expect, it } from 'vitest';
import { withText } from '../../../server/api/long-texts.ts';

const never = () => new AbortController().signal;
/** Work that goes on until it is told to end. */
function held(): { work: () => Promise<string>; begun: () => boolean; end(): void } {
  let [begun, end] = [false, () => {}];
  const ended = new Promise<void>((resolve) => (end = resolve));
  return {
    begun: () => begun,
    end: () => end(),
    work: async () => {
      begun = true;
      await ended;
      return 'done';
    },
  };
}
const turns = () => new Promise((resolve) => setImmediate(resolve));

it('lets four long texts run, more wait in order, short ones never; who leaves gives its place up', async () => {
  const works = Array.from({ length: 8 }, held);
  const leaving = new AbortController();
  const results = works.map(({ work }, i) => withText(100_000, work, i === 5 ? leaving.signal : never()));
  await turns();
  const begun = () => works.map((each) => each.begun());
  expect(begun()).toEqual([true, true, true, true, false, false, false, false]);
  expect(await withText(100, () => Promise.resolve('short'), never())).toBe('short');
  leaving.abort();
  await expect(results[5]).rejects.toMatchObject({ code: 'cancelled' });
  works[0]?.end();
  works[1]?.end();
  await turns();
  expect(begun()).toEqual([true, true, true, true, true, false, true, false]);
  for (const { end } of works) end();
  expect(await Promise.all(results.filter((_, i) => i !== 5))).toEqual(
    Array.from({ length: 7 }, () => 'done'),
  );
});

it('refuses more than 64 that wait, and goes on after one that fails', async () => {
  const failing = withText(100_000, () => Promise.reject(new Error('no')), never());
  await expect(failing).rejects.toThrow('no');
  const works = Array.from({ length: 68 }, held);
  const results = works.map(({ work }) => withText(100_000, work, never()));
  await expect(withText(100_000, held().work, never())).rejects.toMatchObject({ code: 'busy' });
  for (const { end } of works) end();
  await Promise.all(results);
  expect(await withText(100_000, () => Promise.resolve('again'), never())).toBe('again');
});
