import { expect, it } from 'vitest';
import { progressLine } from '../../../server/cli/progress-output.ts';
import type { Progress } from '../../../server/protocol/progress.ts';

const step: Progress = {
  phase: 'distill',
  done: 356,
  total: 8159,
  unit: 'steps',
  remainingSeconds: 5739,
  metrics: {
    loss: 2.12459,
    kl: 1.8961,
    gradientNorm: 1.1649,
    learningRate: 0.0019912,
    tokensPerSecond: 3161.4,
  },
};

it('a step of training is one line: how far, how long, how fast, then the figures', () => {
  expect(progressLine(step)).toBe(
    'distill 4% (356/8159 steps) · 1 h 36 min left · 3161 tokens/s · loss 2.125 · kl 1.896 · gradient 1.16 · rate 0.00199',
  );
});

it('on a narrow terminal whole figures are left out, and a message is cut', () => {
  const narrow = progressLine(step, 79);
  expect(narrow).toBe('distill 4% (356/8159 steps) · 1 h 36 min left · 3161 tokens/s · loss 2.125');
  expect(narrow.length).toBeLessThanOrEqual(79);
  expect(
    progressLine({ phase: 'read data', done: 3, total: 0, unit: 'files', message: 'a/long/path.ts' }, 30),
  ).toBe('read data 3 files · a/long/pa…');
});

it('what is done has no time left, and memory is in bytes that people read', () => {
  expect(progressLine({ ...step, done: 8159, remainingSeconds: 0, metrics: {} })).toBe(
    'distill 100% (8159/8159 steps)',
  );
  expect(progressLine({ phase: 'memory', done: 328770203, total: 21826191360, unit: 'bytes' })).toBe(
    'memory 329 MB of 21.8 GB',
  );
  expect(progressLine({ phase: 'write', done: 1e6, total: 3e6, unit: 'bytes' })).toBe(
    'write 33% (1 MB of 3 MB)',
  );
});
