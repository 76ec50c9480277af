import type { LlamaReference } from './llama-forward.ts';

/** A multiple-choice question as plain strings. */
export interface PlainQuestion {
  /** One context for all answers, or one each. */
  contexts: string[];
  continuations: string[];
  answers: string[];
  gold: number;
}

/** Sum of log p(byte | all before it) over a continuation, with a token a byte, in float64. */
export function continuationLikelihood(
  model: LlamaReference,
  context: string,
  continuation: string,
  positions = Infinity,
): number {
  const scored = [...Buffer.from(continuation)];
  const whole = [...Buffer.from(context), ...scored].slice(-(positions + 1));
  const rows = model.logits(whole.slice(0, -1)).slice(-scored.length);
  return rows.reduce((sum, row, i) => {
    const total = row.reduce((all, logit) => all + Math.exp(logit), 0);
    return sum + (row[scored[i] ?? 0] ?? NaN) - Math.log(total);
  }, 0);
}

/** Shares of questions whose right answer has the largest value: of the sum, by characters, by bytes. */
export function plainAccuracies(
  questions: readonly PlainQuestion[],
  likelihoods: readonly (readonly number[])[],
): { acc: number; acc_norm: number; acc_bytes: number } {
  const share = (length: (answer: string) => number): number => {
    const right = questions.filter(({ answers, gold }, q) => {
      const values = answers.map((answer, i) => (likelihoods[q]?.[i] ?? NaN) / length(answer));
      return values.indexOf(Math.max(...values)) === gold;
    });
    return right.length / questions.length;
  };
  return {
    acc: share(() => 1),
    acc_norm: share((answer) => [...answer].length),
    acc_bytes: share((answer) => Buffer.from(answer).length),
  };
}
