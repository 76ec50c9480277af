import { describe, expect, test } from 'vitest';
import { Sampler, argmax } from '../../../server/engine/sampler.ts';
import type { SamplingOptions } from '../../../server/engine/language-model.ts';

const plain: SamplingOptions = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const probabilities = [0.5, 0.25, 0.15, 0.07, 0.03];
const logits = (): Float32Array => Float32Array.from(probabilities, Math.log);

/** Shares of each id among n draws of one sampler. */
function shares(options: Partial<SamplingOptions>, n = 20_000): number[] {
  const sampler = new Sampler({ ...plain, ...options });
  const counts = probabilities.map(() => 0);
  for (let i = 0; i < n; i++) {
    const id = sampler.sample(logits(), []);
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts.map((count) => count / n);
}

/** The distribution that the options should give: probabilities of the kept ids, normalised. */
const normalised = (weights: number[]): number[] => {
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
};

describe('sampler', () => {
  test('temperature 0 takes the largest logit, the lowest id among equals', () => {
    expect(new Sampler({ ...plain, temperature: 0 }).sample(Float32Array.of(1, 3, 3, 2), [])).toBe(1);
    expect(argmax(Float32Array.of(-5, -2, -9))).toBe(1);
  });

  test.each([
    ['softmax', {}, probabilities],
    ['temperature 2', { temperature: 2 }, normalised(probabilities.map(Math.sqrt))],
    ['top-k 2', { topK: 2 }, normalised([0.5, 0.25, 0, 0, 0])],
    ['top-p 0.8 keeps the first three', { topP: 0.8 }, normalised([0.5, 0.25, 0.15, 0, 0])],
    ['min-p 0.2 keeps those of at least 0.1', { minP: 0.2 }, normalised([0.5, 0.25, 0.15, 0, 0])],
  ])('%s draws from the expected distribution', (_name, options, expected) => {
    const measured = shares(options);
    // 20,000 draws: five standard deviations are at most 0.018.
    measured.forEach((share, id) => expect(Math.abs(share - (expected[id] ?? 0))).toBeLessThan(0.018));
    expected.forEach((p, id) => p === 0 && expect(measured[id]).toBe(0));
  });

  test('the first tokens are greedy where asked for, whatever the temperature', () => {
    const sampler = new Sampler({ ...plain, greedyTokens: 40 });
    const flat = (): Float32Array => Float32Array.of(1, 1.001, 1, 1);
    const draws = Array.from({ length: 400 }, () => sampler.sample(flat(), []));
    expect(draws.slice(0, 40)).toEqual(Array.from({ length: 40 }, () => 1));
    expect(new Set(draws.slice(40)).size).toBe(4);
  });

  test('the same seed gives the same tokens, another seed others', () => {
    const draw = (seed: number): number[] => {
      const sampler = new Sampler({ ...plain, seed });
      return Array.from({ length: 50 }, () => sampler.sample(logits(), []));
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  test('the repetition penalty lowers tokens of the history only', () => {
    const sampler = new Sampler({ ...plain, temperature: 0, repetitionPenalty: 2 });
    expect(sampler.sample(Float32Array.of(3, 2, -1), [0])).toBe(1);
    expect(sampler.sample(Float32Array.of(-1, -1.5, -9), [0])).toBe(1);
    expect(sampler.sample(Float32Array.of(3, 2, -1), [2])).toBe(0);
  });
});
