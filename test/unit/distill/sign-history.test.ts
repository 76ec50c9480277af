import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { SignHistory } from '../../../server/distill/sign-history.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-history-'));
afterAll(() => rmSync(folder, { recursive: true }));

const tensors = [{ name: 'signs', dtype: 'U8' as const, shape: [4], bytes: () => new Uint8Array(4) }];
const steps = (run: string) =>
  readdirSync(join(run, 'signs'))
    .map((name) => Number(/^step-(\d+)\.safetensors$/.exec(name)?.[1]))
    .sort((a, b) => a - b);

it('keeps at most 32 snapshots, the first and the newest among them, spread over the whole run', async () => {
  const run = join(folder, 'long');
  const history = new SignHistory(run);
  for (let step = 0; step <= 200; step++) await history.add(step, tensors);
  const left = steps(run);
  expect(left).toHaveLength(32);
  expect([left[0], left.at(-1)]).toEqual([0, 200]);
  const gaps = left.slice(1).map((step, i) => step - (left[i] as number));
  expect(Math.max(...gaps)).toBeLessThanOrEqual(16);
  await history.keepUpTo(100);
  expect(Math.max(...steps(run))).toBeLessThanOrEqual(100);
});

it('leaves out what it cannot write', async () => {
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  await new SignHistory(file).add(1, tensors);
});
