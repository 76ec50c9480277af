import { expect, it } from 'vitest';
import { measurementLines } from '../../../server/cli/progress-output.ts';
import type { Metric } from '../../../server/protocol/job.ts';
import { lastMeasurement, signFlipSummary } from '../../../webview/runs/measurement.ts';

const step = (n: number, more: Partial<Metric> = {}): Metric => ({
  ...{ step: n, seconds: n, loss: 1, learningRate: 1, tokensPerSecond: 1, tokens: n },
  ...more,
});
const metrics = [
  step(1),
  step(50, {
    perplexity: 70,
    signFlips: { sinceLast: [0.1, 0.2], sinceStart: [0.1, 0.2] },
    sample: { completion: '= 0;', prompt: 'let a ', teacher: '= 1;\n' },
  }),
  step(1100, {
    perplexity: 66.123,
    signFlips: { sinceLast: [0.01, 0.02], sinceStart: [0.1, 0.3] },
    sample: { completion: '= 1;\u001b[2J' },
  }),
  step(1101),
];

it('the panel shows the last measurement, with the prompt and the teacher of the first', () => {
  expect(lastMeasurement([step(1)])).toBeUndefined();
  const measured = lastMeasurement(metrics);
  expect(measured).toMatchObject({
    step: 1100,
    sample: { prompt: 'let a ', completion: '= 1;\u001b[2J', teacher: '= 1;\n' },
  });
  expect(measured?.layers[1]).toEqual({
    sinceLast: 0.02,
    sinceStart: 0.3,
    text: 'Layer 1: 2.00% since the measurement before, 30.00% since the start',
  });
  expect(measured && signFlipSummary(measured)).toBe(
    'Signs turned at step 1,100: 1.50% since the measurement before, 20.00% since the start. ' +
      'By layer, since the start:',
  );
});

it('the terminal keeps measurements in view, and what the model writes does nothing to it', () => {
  expect(metrics.map(measurementLines)).toEqual([
    undefined,
    [
      'step 50 · held-out perplexity 70.00 · signs turned 15.00%, since the start 15.00% (by layer 10.00% 20.00%)',
      '  prompt: "let a "',
      '  teacher: "= 1;\\n"',
      '  now: "= 0;"',
    ],
    [
      'step 1100 · held-out perplexity 66.12 · signs turned 1.50%, since the start 20.00% (by layer 10.00% 30.00%)',
      '  now: "= 1;\\u001b[2J"',
    ],
    undefined,
  ]);
});
