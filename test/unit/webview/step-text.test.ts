import { expect, it } from 'vitest';
import { stepText } from '../../../webview/runs/curves.ts';

it('a step says its speed, learning rate and gradient norm', () => {
  const step = {
    step: 1200,
    seconds: 200,
    loss: 2,
    tokens: 5,
    tokensPerSecond: 751.4,
    learningRate: 0.0019912,
  };
  const plain = (text: string): string => text.replaceAll('\u00a0', ' ');
  expect(plain(stepText({ ...step, gradientNorm: 1.16493 }))).toBe(
    'Step 1,200 · 3 min 20 s · 751 tokens/s · learning rate 0.002 · gradient norm 1.16',
  );
  // Runs of earlier versions have none.
  expect(stepText(step)).not.toContain('gradient');
});
