import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import type { EngineOptions } from '../engine/engine.ts';
import { openEngine, type OpenControl } from '../engine/open-engine.ts';
import { OneBitError } from '../protocol/error.ts';
import { quantize } from '../svid/quantize.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { footprintOf, packedFootprint, type Footprint } from './footprint.ts';
import { chooseWindow, perplexity, type PerplexityResult } from './perplexity.ts';
import { roundToNearest } from './round-to-nearest.ts';
import { runTask, taskSequences, type LoadedTask, type TaskResult } from './run-task.ts';
import { readTextTokens } from './text-tokens.ts';

/** Made from the teacher on the spot: signs with a scale a row, and SVID without distillation. */
export type Baseline = 'rtn' | 'svid';

export interface CompareOptions {
  /** Full precision. */
  teacher: string;
  students: readonly string[];
  baselines: readonly Baseline[];
  /** UTF-8 text that perplexity is measured on. */
  text: string | undefined;
  /** Default: as far as every model has positions, at most `usualWindow`. */
  window: number | undefined;
  /** Default: the window. */
  stride: number | undefined;
  /** Only the text's first tokens. */
  maxTokens: number | undefined;
  tasks: readonly LoadedTask[];
  /** `contextLength` is that of the tasks. */
  engine: EngineOptions;
}

export interface ComparedModel extends Footprint {
  role: 'teacher' | Baseline | 'student';
  name: string;
  perplexity: PerplexityResult | undefined;
  tasks: TaskResult[];
}

export interface Comparison {
  text: string | undefined;
  models: ComparedModel[];
}

type Context = OpenControl;

/** The same questions for every model. */
interface Measurement {
  ids: number[] | undefined;
  window: number;
  stride: number;
  tasks: readonly LoadedTask[];
  tokenizer: Tokenizer;
  engine: EngineOptions;
}

/**
 * Measures a teacher, its 1-bit baselines and its students on the same tokens and questions, one after
 * another, each loaded alone. What SVID writes goes to a temporary folder that is removed.
 * @throws bad-request (the teacher is 1-bit; a student of another vocabulary or tokenizer; a window or
 *   context that one of them has no positions for), and what opening, quantizing and measuring throw
 */
export async function compare(options: CompareOptions, context: Context): Promise<Comparison> {
  const { signal } = context;
  const teacher = await openCheckpoint(options.teacher, signal);
  try {
    if (teacher.kind !== 'full') {
      throw new OneBitError(
        'bad-request',
        `${options.teacher} is a 1-bit model: the teacher must be the full-precision one.`,
      );
    }
    const tokenizer = await loadTokenizer(options.teacher);
    const text = options.text === undefined ? undefined : await readTextTokens(options.text, tokenizer);
    const sample = text?.sample ?? sampleOf(options.tasks);
    let positions = teacher.config.maxPositions;
    for (const student of options.students) {
      positions = Math.min(positions, await checkStudent(student, teacher, tokenizer, sample, signal));
    }
    const window = chooseWindow(options.window, positions);
    const taskContext = chooseWindow(options.engine.contextLength, positions);
    const contextLength = Math.max(
      text === undefined ? 0 : window,
      options.tasks.length === 0 ? 0 : taskContext,
    );
    const measurement: Measurement = {
      ids: text?.ids.slice(0, options.maxTokens ?? text.ids.length),
      window,
      stride: options.stride ?? window,
      tasks: options.tasks,
      tokenizer,
      engine: { ...options.engine, contextLength, sequences: taskSequences },
    };
    return { text: options.text, models: await measureAll(teacher, options, measurement, context) };
  } finally {
    await teacher.close();
  }
}

async function measureAll(
  teacher: Checkpoint,
  options: CompareOptions,
  measurement: Measurement,
  context: Context,
): Promise<ComparedModel[]> {
  const name = nameOf(options.teacher);
  const models: ComparedModel[] = [];
  const add = async (
    role: ComparedModel['role'],
    modelName: string,
    checkpoint: Checkpoint,
    footprint = footprintOf(checkpoint),
  ): Promise<void> => {
    const measured = await measure(checkpoint, measurement, named(modelName, context));
    models.push({ role, name: modelName, ...footprint, ...measured });
  };
  await add('teacher', name, teacher);
  if (options.baselines.includes('rtn')) {
    const rounded = roundToNearest(teacher);
    await add('rtn', 'round-to-nearest', rounded, packedFootprint(teacher, 'row scales'));
  }
  if (options.baselines.includes('svid')) {
    const folder = await mkdtemp(join(tmpdir(), 'onebit-compare-'));
    try {
      const output = join(folder, 'svid');
      await quantize(options.teacher, output, context);
      await withCheckpoint(output, context.signal, (checkpoint) => add('svid', 'SVID only', checkpoint));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  for (const student of options.students) {
    await withCheckpoint(student, context.signal, (checkpoint) =>
      add('student', nameOf(student), checkpoint),
    );
  }
  return models;
}

async function measure(
  checkpoint: Checkpoint,
  { ids, window, stride, tasks, tokenizer, engine: options }: Measurement,
  context: Context,
): Promise<{ perplexity: PerplexityResult | undefined; tasks: TaskResult[] }> {
  const engine = await openEngine(checkpoint, options, context);
  try {
    const ofText =
      ids === undefined ? undefined : await perplexity(engine, [ids], { window, stride, ...context });
    const results: TaskResult[] = [];
    for (const task of tasks) results.push(await runTask(engine, tokenizer, task, context));
    return { perplexity: ofText, tasks: results };
  } finally {
    await engine.dispose();
  }
}

/** @returns the student's positions. @throws bad-request if its figures could not be compared */
async function checkStudent(
  student: string,
  teacher: Checkpoint,
  tokenizer: Tokenizer,
  sample: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { vocabSize, maxPositions } = await withCheckpoint(student, signal, async ({ config }) => config);
  if (vocabSize !== teacher.config.vocabSize) {
    throw new OneBitError(
      'bad-request',
      `${student} has a vocabulary of ${vocabSize}, the teacher one of ${teacher.config.vocabSize}: only models of the same tokenizer can be compared.`,
    );
  }
  const own = await loadTokenizer(student).catch((error: unknown) => {
    // Then it is measured with the teacher's.
    if (error instanceof OneBitError && error.code === 'no-tokenizer') return undefined;
    throw error;
  });
  const expected = tokenizer.encode(sample, { bos: true });
  const got = own?.encode(sample, { bos: true }) ?? expected;
  if (got.length !== expected.length || got.some((id, i) => id !== expected[i])) {
    throw new OneBitError(
      'bad-request',
      `${student} has another tokenizer than the teacher: its tokens of the same text differ, so the figures cannot be compared.`,
    );
  }
  return maxPositions;
}

async function withCheckpoint<T>(
  path: string,
  signal: AbortSignal | undefined,
  use: (checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  const checkpoint = await openCheckpoint(path, signal);
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Text of the first questions, to compare tokenizers with. */
function sampleOf(tasks: readonly LoadedTask[]): string {
  const texts = tasks.flatMap((task) =>
    task.kind === 'choice'
      ? task.questions.slice(0, 20).map(({ choices }) => choices[0]?.context ?? '')
      : task.questions.slice(0, 20).map(({ prefix }) => prefix),
  );
  return texts.join('\n');
}

function nameOf(path: string): string {
  return basename(resolve(path));
}

/** The context with the model's name in every report. */
function named(name: string, { onProgress, ...rest }: Context): Context {
  return {
    ...rest,
    onProgress:
      onProgress && ((progress) => onProgress({ ...progress, phase: `${name}: ${progress.phase}` })),
  };
}
