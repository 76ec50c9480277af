import type { Engine, EngineStep, Sequence } from '../engine/engine.ts';
import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChoiceQuestion } from './choice-question.ts';
import { encodePair } from './encode-pair.ts';
import { negativeLogLikelihood } from './perplexity.ts';

export interface ChoiceScores {
  /** Sum of the log-likelihoods of each choice's continuation, in nats, by question. */
  logLikelihoods: number[][];
  /** Questions whose context had to lose its beginning to fit the engine. */
  truncated: number;
}

export interface ScoreChoicesOptions {
  /** Questions that share a forward pass, each with a sequence of its own. */
  lanes: number;
  signal?: AbortSignal;
  /** After each question, with the number of those that are done. */
  onQuestion?: (done: number) => void;
}

/** One continuation: the tokens the engine reads, and what each of the last of them should predict. */
interface Scored {
  inputs: number[];
  /** `targets[i]` is to follow `inputs[inputs.length − targets.length + i]`. */
  targets: number[];
}

/** What a lane does next: keep `keep` positions, then read tokens; `all` gives their logits back. */
interface LaneStep {
  keep: number;
  tokens: number[];
  logits: 'all' | 'none';
}

/**
 * Log-likelihoods of the choices of multiple-choice questions. What the choices of a question have in
 * common at the beginning goes through the engine once and stays in the KV cache.
 * @throws bad-request for a choice that does not fit the context; out-of-memory, cancelled
 */
export async function scoreChoices(
  engine: Engine,
  tokenizer: Tokenizer,
  questions: readonly ChoiceQuestion[],
  { lanes, signal, onQuestion }: ScoreChoicesOptions,
): Promise<ChoiceScores> {
  const logLikelihoods: number[][] = questions.map(() => []);
  let truncated = 0;
  let next = 0;
  let done = 0;

  /** The next question's work, or nothing when all have been given out. */
  const begin = (): Work | undefined => {
    const question = next++;
    const asked = questions[question];
    if (asked === undefined) return undefined;
    const encoded = encodeChoices(engine, tokenizer, asked);
    if (encoded.truncated) truncated++;
    const steps = laneSteps(encoded.choices, engine.config.vocabSize);
    return { question, steps, step: steps.next().value as LaneStep };
  };
  const sequences = openLanes(engine, Math.min(lanes, questions.length));
  try {
    let active = sequences.flatMap((sequence) => withWork(sequence, begin()));
    while (active.length > 0) {
      throwIfCancelled(signal);
      const batch = active.map(({ sequence, work: { step } }): EngineStep => {
        sequence.truncate(step.keep);
        return { sequence, tokens: step.tokens, logits: step.logits };
      });
      const outputs = await engine.forward(batch, signal);
      active = active.flatMap(({ sequence, work }, i) => {
        const following = work.steps.next(outputs[i] ?? new Float32Array());
        if (following.done !== true) return withWork(sequence, { ...work, step: following.value });
        logLikelihoods[work.question] = following.value;
        onQuestion?.(++done);
        return withWork(sequence, begin());
      });
    }
  } finally {
    for (const sequence of sequences) sequence.dispose();
  }
  return { logLikelihoods, truncated };
}

/** A question that a lane is at. */
interface Work {
  question: number;
  steps: LaneSteps;
  step: LaneStep;
}

function withWork(sequence: Sequence, work: Work | undefined): { sequence: Sequence; work: Work }[] {
  return work === undefined ? [] : [{ sequence, work }];
}

type LaneSteps = Generator<LaneStep, number[], Float32Array>;

/** As many sequences as are wanted, or as there is memory for; at least one. */
function openLanes(engine: Engine, wanted: number): Sequence[] {
  const sequences: Sequence[] = [];
  try {
    while (sequences.length < wanted) sequences.push(engine.open());
  } catch (error) {
    const enough = error instanceof OneBitError && error.code === 'out-of-memory' && sequences.length > 0;
    if (!enough) throw error;
  }
  return sequences;
}

function encodeChoices(
  engine: Engine,
  tokenizer: Tokenizer,
  { choices, place }: ChoiceQuestion,
): { choices: Scored[]; truncated: boolean } {
  const room = engine.contextLength;
  let truncated = false;
  const encoded = choices.map(({ context, continuation }) => {
    const pair = encodePair(tokenizer, context, continuation, place);
    if (pair.continuation.length > room) {
      throw new OneBitError(
        'bad-request',
        `${place}: a choice has ${pair.continuation.length} tokens, and the context holds ${room}: raise --context, or leave the line out.`,
      );
    }
    const whole = [...pair.context, ...pair.continuation];
    // The last token is only predicted, so one more than the context fits.
    if (whole.length > room + 1) truncated = true;
    return { inputs: whole.slice(-(room + 1), -1), targets: pair.continuation };
  });
  return { choices: encoded, truncated };
}

/** Reads the choices' common beginning once, then each choice's rest; returns their log-likelihoods. */
function* laneSteps(choices: readonly Scored[], vocab: number): LaneSteps {
  const shared = sharedPositions(choices);
  const beginning = choices[0]?.inputs.slice(0, shared) ?? [];
  if (beginning.length > 0) yield { keep: 0, tokens: beginning, logits: 'none' };
  const sums: number[] = [];
  for (const { inputs, targets } of choices) {
    const first = inputs.length - targets.length;
    if (first > shared) yield { keep: shared, tokens: inputs.slice(shared, first), logits: 'none' };
    const logits = yield { keep: first, tokens: inputs.slice(first), logits: 'all' };
    let sum = 0;
    for (const [i, target] of targets.entries()) {
      sum -= negativeLogLikelihood(logits.subarray(i * vocab, (i + 1) * vocab), target);
    }
    sums.push(sum);
  }
  return sums;
}

/** Positions that all choices have in common and none of them is scored at. */
function sharedPositions(choices: readonly Scored[]): number {
  const [one, ...others] = choices;
  if (one === undefined) return 0;
  let shared = Math.min(...choices.map(({ inputs, targets }) => inputs.length - targets.length));
  for (const { inputs } of others) {
    let same = 0;
    while (same < shared && inputs[same] === one.inputs[same]) same++;
    shared = same;
  }
  return shared;
}
