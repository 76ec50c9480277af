import { expect, it } from 'vitest';
import { progressLine } from '../../../server/cli/progress-output.ts';

it('a step of training is one line: how far, how long, then the figures', () => {
  expect(
    progressLine({
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
    }),
  ).toBe(
    'distill 4% (356/8159 steps) · 1 h 36 min left · loss 2.125 · kl 1.896 · gradient 1.16 · rate 0.00199 · 3161 tokens/s',
  );
});
