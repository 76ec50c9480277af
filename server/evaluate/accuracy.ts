import type { ChoiceQuestion, ChoiceScoreName } from './choice-question.ts';

/** A share of right answers. */
export interface Score {
  name: ChoiceScoreName | 'exact_match';
  /** 0 to 1. */
  value: number;
  /** Standard error: sample deviation / √questions; undefined for a single question. */
  stderr: number | undefined;
}

/**
 * lm-evaluation-harness' accuracies: the choice of the largest log-likelihood is the answer (`acc`), or that of
 * the largest log-likelihood a character (`acc_norm`) or a byte of UTF-8 (`acc_bytes`) of the answer; the
 * first among equals.
 * @param logLikelihoods by question and choice
 */
export function accuracy(
  name: ChoiceScoreName,
  questions: readonly ChoiceQuestion[],
  logLikelihoods: readonly (readonly number[])[],
): Score {
  const right = questions.map(({ choices, gold }, i) => {
    const scaled = choices.map(({ answer }, c) => (logLikelihoods[i]?.[c] ?? NaN) / lengthOf(name, answer));
    return indexOfLargest(scaled) === gold;
  });
  return shareOf(name, right);
}

/** The share of right answers with its standard error. */
export function shareOf(name: Score['name'], right: readonly boolean[]): Score {
  const n = right.length;
  const value = right.filter(Boolean).length / n;
  // Of zeros and ones: Σ (x − mean)² = n · mean · (1 − mean).
  return { name, value, stderr: n > 1 ? Math.sqrt((value * (1 - value)) / (n - 1)) : undefined };
}

function lengthOf(name: ChoiceScoreName, answer: string): number {
  if (name === 'acc') return 1;
  return name === 'acc_norm' ? Array.from(answer).length : Buffer.byteLength(answer);
}

function indexOfLargest(values: readonly number[]): number {
  let best = 0;
  for (const [i, value] of values.entries()) if (value > (values[best] ?? NaN)) best = i;
  return best;
}
