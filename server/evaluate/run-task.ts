import type { Engine } from '../engine/engine.ts';
import { OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { accuracy, shareOf, type Score } from './accuracy.ts';
import type { ChoiceQuestion } from './choice-question.ts';
import { fillIn, readInfilling, type InfillQuestion } from './infilling.ts';
import { scoreChoices } from './score-choices.ts';
import { choiceTasks, type TaskName } from './tasks/index.ts';

/** A task and the file of its questions. */
export interface TaskFile {
  task: TaskName;
  file: string;
}

/** A task whose questions have been read. */
export type LoadedTask = TaskFile &
  ({ kind: 'choice'; questions: ChoiceQuestion[] } | { kind: 'infilling'; questions: InfillQuestion[] });

export interface TaskResult extends TaskFile {
  questions: number;
  scores: Score[];
  /** Questions of which something had to be left out to fit the context. */
  truncated: number;
  seconds: number;
}

/** Sequences that a task keeps open: engines must be opened with as many. */
export const taskSequences = 8;

/**
 * Reads a task's file: before a model is loaded, so that bad input shows at once.
 * @param limit the first questions only
 * @throws not-found, unreadable, unsupported, bad-file: the message names file, line and field
 */
export async function loadTask({ task, file }: TaskFile, limit?: number): Promise<LoadedTask> {
  const loaded: LoadedTask =
    task === 'infilling'
      ? { task, file, kind: 'infilling', questions: await readInfilling(file, limit) }
      : { task, file, kind: 'choice', questions: await choiceTasks[task].read(file, limit) };
  if (loaded.questions.length === 0) {
    throw new OneBitError('bad-file', `${file} holds no questions of ${task}: is it the right file?`);
  }
  return loaded;
}

/** Asks a model the questions of a task. @throws what scoreChoices and fillIn throw */
export async function runTask(
  engine: Engine,
  tokenizer: Tokenizer,
  loaded: LoadedTask,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<TaskResult> {
  const { task, file, kind, questions } = loaded;
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  const total = questions.length;
  const onQuestion = (done: number) =>
    onProgress?.({
      phase: task,
      done,
      total,
      unit: 'questions',
      remainingSeconds: (seconds() / done) * (total - done),
    });
  if (kind === 'infilling') {
    const { right, truncated } = await fillIn(engine, tokenizer, questions, {
      sequences: taskSequences,
      signal,
      onQuestion,
    });
    const scores = [shareOf('exact_match', right)];
    return { task, file, questions: total, scores, truncated, seconds: seconds() };
  }
  const { logLikelihoods, truncated } = await scoreChoices(engine, tokenizer, questions, {
    lanes: taskSequences,
    signal,
    onQuestion,
  });
  const names = choiceTasks[task as keyof typeof choiceTasks].scores;
  const scores = names.map((name) => accuracy(name, questions, logLikelihoods));
  return { task, file, questions: total, scores, truncated, seconds: seconds() };
}
