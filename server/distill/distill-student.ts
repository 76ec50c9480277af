import { basename } from 'node:path';
import { copyParameter, disposeParameters, readParameters, type Parameters } from './parameters.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { ModelConfig } from '../checkpoint/model-config.ts';
import { OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import type { OptimizerRecipe, Preset, StudentRecipe } from '../protocol/recipe.ts';
import { packageVersion } from '../package-root.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { heldOutPerplexity } from './held-out.ts';
import { llamaForward, type ForwardResult } from './llama-graph.ts';
import { distillationLoss, hiddenLayersOf } from './losses.ts';
import { startBlocks } from './block-start.ts';
import { checkTrainingMemory } from './memory/memory-estimate.ts';
import { CompletionSample } from './measure/completion-sample.ts';
import { checkStudent } from './check-student.ts';
import { checkTokenizers } from './check-tokenizers.ts';
import { RunFolder, type RunBackend } from './run-state.ts';
import { studentFromRun } from './student-from-run.ts';
import { studentFromCheckpoint, studentFromTeacher } from './student-start.ts';
import { fingerprintOf, TeacherCache, type CachedTarget, type TeacherCacheOptions } from './teacher-cache.ts';
import { isTrained } from './trained-parts.ts';
import { openTrainingData, type DataOptions, type TrainingData } from './data/training-data.ts';
import { curveOf, lastPerplexity } from './train-model.ts';
import { runTraining, type Batch, type TrainerOptions } from './trainer.ts';
import { writeStudent } from './write-model.ts';

export interface DistillOptions {
  /** Folder of the full-precision teacher. */
  teacher: string;
  /** Folder of a 1-bit start or of a run that trained one; made anew when absent, as `recipe.start` says. */
  student: string | undefined;
  /** What the recipe's defaults came from; for the record only. */
  preset: Preset | undefined;
  recipe: StudentRecipe;
  recompute: OptimizerRecipe['recompute'];
  /** Train on what the teacher said of fixed windows, kept on disk; needs a hidden weight of 0. */
  teacherCache?: TeacherCacheOptions;
  data: DataOptions;
  trainer: Omit<TrainerOptions, 'phase'>;
  output: string;
  run: string;
  /** What it trains on, for run.json. */
  backend?: RunBackend;
}

export interface DistillResult {
  output: string;
  steps: number;
  tokens: number;
  seconds: number;
  /** Held-out perplexities. */
  perplexity: { teacher: number; start: number; student: number };
}

/**
 * Quantization-aware knowledge transfer (METHOD.md, Distillation): trains a 1-bit student on its
 * teacher's probabilities and hidden states, and writes it as a packed OneBit checkpoint. Continues
 * the run in `options.run` if there is one of the same definition.
 */
export async function distillStudent(
  options: DistillOptions,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<DistillResult> {
  const checkpoint = await openCheckpoint(options.teacher, context.signal);
  const owned: Parameters[] = [];
  let cache: TeacherCache | undefined;
  try {
    if (checkpoint.kind !== 'full') {
      throw new OneBitError(
        'bad-request',
        `${options.teacher} is a 1-bit model: the teacher must be a full-precision one.`,
      );
    }
    const { config } = checkpoint;
    const { recipe, recompute } = options;
    const weights = {
      kl: recipe.klWeight,
      hidden: recipe.hiddenWeight,
      hiddenLayers: hiddenLayersOf(recipe, config.layers),
      languageModel: recipe.lmWeight,
    };
    const tokenizer = await loadTokenizer(options.teacher);
    if (options.student !== undefined) await checkTokenizers(options.student, options.teacher, tokenizer);
    const data = await openTrainingData(options.data, tokenizer, context);
    const { batch, microBatch, window, memoryCheck: refuse = true } = options.trainer;
    await checkTrainingMemory(
      { config, kind: 'distill', parts: recipe, recompute, batch, microBatch, window },
      { refuse, onProgress: context.onProgress },
    );
    const teacher = await readParameters(checkpoint, () => false, context.signal);
    owned.push(teacher);
    const student = await startStudent(checkpoint, teacher, options, context);
    owned.push(student.own);
    const { parameters } = student;

    const definition = definitionOf(options, data);
    const run = await RunFolder.open(options.run, definition, options.backend);
    const perplexity = (signal?: AbortSignal) => heldOutPerplexity(config, parameters, data.heldOut, signal);
    const teacherPerplexity = await heldOutPerplexity(config, teacher, data.heldOut, context.signal);
    const startPerplexity = await perplexity(context.signal);
    if (options.teacherCache !== undefined) {
      cache = await openCache(options.teacherCache, options, data, config, teacher, context);
    }
    const cached = cache;
    const windows = cached ?? data.windows;
    // A checkpoint of the end-to-end stage has what the blocks learned.
    if (recipe.blockSteps > 0 && (await run.steps()).length === 0) {
      const { trainer, run } = options;
      const blocks = { recipe, trainer, run, definition };
      await startBlocks(config, teacher, parameters, windows, blocks, context);
    }
    const { state, metrics } = await runTraining(
      {
        parameters: student.own,
        target: ({ inputs, count, window }: Batch) =>
          cached?.target(count) ?? llamaForward(config, teacher, inputs, count, window),
        loss: ({ inputs, labels, count, window }: Batch, target: ForwardResult | CachedTarget) => {
          const graph = { straightThrough: recipe.straightThrough, recompute };
          const result = llamaForward(config, parameters, inputs, count, window, graph);
          const { loss, kl, hidden, nll } = distillationLoss(target, result, labels, weights);
          return {
            loss,
            figures: { kl, ...(hidden && { hidden }), ...(nll && { nll }) },
          };
        },
        perplexity,
        sample: new CompletionSample(config, tokenizer, data.heldOut).sampler(parameters, teacher),
      },
      windows,
      run,
      { ...options.trainer, phase: 'distill' },
      context,
    );
    const result: DistillResult = {
      output: options.output,
      steps: state.step,
      tokens: state.tokens,
      seconds: state.seconds,
      perplexity: {
        teacher: teacherPerplexity,
        start: startPerplexity,
        student: lastPerplexity(metrics) ?? (await perplexity(context.signal)),
      },
    };
    await writeStudent(
      options.output,
      checkpoint,
      parameters,
      recordOf(options, data, result),
      context.signal,
    );
    return result;
  } finally {
    for (const parameters of owned) disposeParameters(parameters);
    cache?.close();
    await checkpoint.close();
  }
}

async function openCache(
  cache: TeacherCacheOptions,
  { data: given, recipe }: DistillOptions,
  data: TrainingData,
  config: ModelConfig,
  teacher: Parameters,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<TeacherCache> {
  if (recipe.hiddenWeight > 0) {
    throw new OneBitError(
      'bad-request',
      'A teacher cache has no hidden states: use a hidden weight of 0, or no cache.',
    );
  }
  const { window, seed, infillSplit } = given;
  const { infillRate, fingerprint } = data;
  return TeacherCache.open(
    cache,
    { teacher: await fingerprintOf(teacher), data: fingerprint, window, seed, infillRate, infillSplit },
    data.windows,
    config.vocabSize,
    (inputs) => llamaForward(config, teacher, inputs, 1, window).logits,
    context,
  );
}

/** `parameters` is the whole student; `own` is the part that does not belong to the teacher. */
async function startStudent(
  checkpoint: Checkpoint,
  teacher: Parameters,
  options: DistillOptions,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<{ parameters: Parameters; own: Parameters }> {
  const { recipe } = options;
  let own: Parameters;
  if (options.student === undefined) {
    own = await studentFromTeacher(checkpoint, recipe, options.data.seed, context);
  } else if (await RunFolder.isBegun(options.student)) {
    own = await studentFromRun(options.student, checkpoint, recipe, context.signal);
  } else {
    const start = await openCheckpoint(options.student, context.signal);
    try {
      checkStudent(start, checkpoint);
      own = await studentFromCheckpoint(start, checkpoint, recipe, recipe, context.signal);
    } finally {
      await start.close();
    }
  }
  const parameters: Parameters = new Map(own);
  for (const [name, variable] of teacher) {
    if (own.has(name)) continue;
    if (isTrained(name, recipe)) own.set(name, await copyParameter(variable, true));
    parameters.set(name, own.get(name) ?? variable);
  }
  return { parameters, own };
}

function definitionOf(options: DistillOptions, data: TrainingData): Record<string, unknown> {
  return {
    kind: 'distill',
    ...curveOf(options.data, options.trainer, data),
    teacher: options.teacher,
    student: options.student,
    ...options.recipe,
    recompute: options.recompute,
    ...cacheOf(options),
  };
}

/** What onebit.json says of how the student was made. */
function recordOf(
  options: DistillOptions,
  data: TrainingData,
  result: DistillResult,
): Record<string, unknown> {
  const { trainer } = options;
  return {
    tool: `onebit ${packageVersion()}`,
    method: 'distillation',
    // Names only: a model is passed on, the paths of the machine that made it are nobody's business.
    teacher: basename(options.teacher),
    student: options.student === undefined ? undefined : basename(options.student),
    data: {
      ...data.facts,
      paths: data.facts.paths.map((path) => basename(path)),
      infillRate: data.infillRate,
    },
    steps: result.steps,
    tokens: result.tokens,
    seconds: Math.round(result.seconds),
    window: trainer.window,
    batch: trainer.batch,
    preset: options.preset,
    recipe: {
      learningRate: trainer.schedule.peak,
      floor: trainer.schedule.floor,
      warmup: trainer.schedule.warmupSteps,
      clip: trainer.clip,
      weightDecay: trainer.weightDecay,
      beta1: trainer.beta1,
      beta2: trainer.beta2,
      ...options.recipe,
    },
    seed: options.data.seed,
    ...cacheOf(options),
    heldOutPerplexity: result.perplexity,
  };
}

/** What of a cache the curve depends on; where it lies is nobody's business. */
function cacheOf({ teacherCache: cache }: DistillOptions): Record<string, unknown> {
  return cache === undefined ? {} : { teacherCache: { top: cache.top, windows: cache.windows } };
}
