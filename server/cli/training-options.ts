import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { checkOutputFolder } from '../checkpoint/output-folder.ts';
import type { ChosenBackend } from '../distill/backend/choose-backend.ts';
import type { InfillSplit } from '../distill/data/infill-transform.ts';
import { RunFolder } from '../distill/run-state.ts';
import type { TrainerOptions } from '../distill/trainer.ts';
import type { DataOptions, Deduplication } from '../distill/data/training-data.ts';
import { nativeAddon } from '../native/addon.ts';
import { OneBitError } from '../protocol/error.ts';
import { defaultRunFolder } from '../protocol/job.ts';
import type { OptimizerRecipe } from '../protocol/recipe.ts';
import { trainingBackendSchema } from '../protocol/training-backend.ts';
import { gpuJournal } from './engine-options.ts';
import { integer, number } from './arguments.ts';

/** What `train` and `distill` have in common beside the recipe, as commander parses it. */
export interface TrainingArguments {
  data: string[];
  textColumn?: string;
  dedup: Deduplication;
  output: string;
  overwrite: boolean;
  run?: string;
  restart: boolean;
  steps?: number;
  minutes?: number;
  window?: number;
  seed: number;
  heldOut: string[];
  heldOutShare: number;
  heldOutWindows: number;
  infillRate?: number;
  infillSplit: InfillSplit;
  checkpointSteps?: number;
  measurements: number;
  memoryCheck: boolean;
  threads?: number;
  backend: string;
  progress: 'auto' | 'json' | 'none';
  json: boolean;
}

/** Adds the options that `train` and `distill` share beside the recipe. */
export function addTrainingOptions(command: Command): Command {
  return command
    .requiredOption('--data <paths...>', 'files or folders of text or source code, .jsonl(.gz) or .parquet')
    .option(
      '--text-column <name>',
      'where the text is in .jsonl and .parquet (default: text, content or code)',
    )
    .addOption(
      new Option(
        '--dedup <which>',
        'duplicates to drop; auto: near ones from folders and from the held-out text',
      )
        .choices(['auto', 'near', 'exact', 'off'])
        .default('auto'),
    )
    .requiredOption('--output <folder>', 'where the model goes')
    .option('--overwrite', 'replace a model in the output folder that another run made', false)
    .option('--run <folder>', 'metrics and checkpoints of the run (default: the output folder + ".run")')
    .option('--restart', 'throw an earlier run in that folder away, and replace its model', false)
    .option('--steps <n>', 'optimizer steps', integer(1, 10_000_000))
    .option('--minutes <n>', 'train this long; the schedule is fitted to it', number(0.001, 100_000))
    .option('--window <tokens>', 'positions of a window (default: up to 512)', integer(8, 131_072))
    .option('--seed <n>', 'of everything random', integer(0), 0)
    .option('--held-out <paths...>', 'held-out text of its own', [])
    .option('--held-out-share <share>', 'share of the data set aside by file', number(0.0001, 0.9), 0.02)
    .option('--held-out-windows <n>', 'windows that perplexity is measured on', integer(1, 100_000), 24)
    .option(
      '--infill-rate <share>',
      'share rearranged for infilling (default: 0.5 if the tokenizer can)',
      number(0, 1),
    )
    .addOption(
      new Option('--infill-split <how>', 'where infilling cuts')
        .choices(['character', 'line', 'mixed'])
        .default('mixed'),
    )
    .option('--checkpoint-steps <n>', 'steps between checkpoints (default: about a minute)', integer(1))
    .option('--measurements <n>', 'held-out measurements over the run', integer(0), 20)
    .option('--no-memory-check', 'train even if the estimate says that memory will not do')
    .option('--threads <n>', 'threads of the kernels (default: one a core)', integer(1, 1024))
    .addOption(
      new Option(
        '--backend <name>',
        'what trains: auto, native, webgpu, webgpu:<part of a GPU’s name> or tensorflow (CUDA)',
      )
        .default('auto')
        .argParser(trainingBackend),
    )
    .addOption(
      new Option('--progress <how>', 'how progress is shown')
        .choices(['auto', 'json', 'none'])
        .default('auto'),
    )
    .option('--json', 'print the result as one line of JSON, the last one', false);
}

function trainingBackend(text: string): string {
  const parsed = trainingBackendSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(parsed.error.issues[0]?.message ?? 'Not a backend.');
  return parsed.data;
}

/**
 * The run's folder, ready to begin or go on in. Before anything is read or trained, this makes sure that the
 * result can be written at the end: a model in its place is replaced only if this run made it, or if the
 * user says so.
 * @param inputs the models that the run reads
 * @throws bad-request (the output is taken, or is one of the inputs), unreadable, no-space
 */
export async function prepareRun(
  args: TrainingArguments,
  inputs: readonly (string | undefined)[],
): Promise<string> {
  const run = args.run ?? defaultRunFolder(args.output);
  for (const input of [run, ...inputs]) {
    if (input === undefined || resolve(input) !== resolve(args.output)) continue;
    const what = input === run ? 'the folder of the run' : 'a model that the run reads';
    throw new OneBitError('bad-request', `--output ${args.output} is ${what}: choose another folder.`);
  }
  if (inputs.some((input) => input !== undefined && resolve(input) === resolve(run))) {
    throw new OneBitError(
      'bad-request',
      `${run} is the run that the student starts from: choose another --run.`,
    );
  }
  const replace = args.overwrite || args.restart || (await RunFolder.isBegun(run));
  await checkOutputFolder(args.output, { replace });
  if (args.restart) await RunFolder.clear(run);
  return run;
}

/** `positions` is the model's maximum. */
export function dataOptionsOf(args: TrainingArguments, positions: number): DataOptions {
  if (args.window !== undefined && args.window > positions) {
    throw new OneBitError(
      'bad-request',
      `--window ${args.window} is more than the model's ${positions} positions: use at most --window ${positions}.`,
    );
  }
  return {
    data: args.data,
    textColumn: args.textColumn,
    deduplication: args.dedup,
    heldOut: args.heldOut,
    heldOutShare: args.heldOutShare,
    heldOutWindows: args.heldOutWindows,
    window: args.window ?? Math.min(512, positions),
    seed: args.seed,
    infillRate: args.infillRate,
    infillSplit: args.infillSplit,
  };
}

/** `defaultSteps` counts when neither steps nor minutes are given. */
export function trainerOptionsOf(
  args: TrainingArguments,
  recipe: OptimizerRecipe,
  window: number,
  defaultSteps: number,
): Omit<TrainerOptions, 'phase'> {
  const steps = args.steps ?? (args.minutes === undefined ? defaultSteps : undefined);
  return {
    schedule: {
      peak: recipe.learningRate,
      floor: recipe.floor,
      warmupSteps: recipe.warmup,
      steps,
      seconds: args.minutes === undefined ? undefined : args.minutes * 60,
    },
    batch: recipe.batch,
    microBatch: Math.min(recipe.batch, recipe.microBatch),
    window,
    clip: recipe.clip,
    weightDecay: recipe.weightDecay,
    beta1: recipe.beta1,
    beta2: recipe.beta2,
    checkpointSteps: args.checkpointSteps,
    measurements: args.measurements,
    memoryCheck: args.memoryCheck,
  };
}

/**
 * Switches tfjs to what trains here, and says on standard error which and why. A run that was begun keeps its
 * backend unless another is asked for; then, or where it is gone, it says that the curve will differ. The
 * caller disposes it.
 */
export async function startBackend(args: TrainingArguments, run: string): Promise<ChosenBackend> {
  if (args.threads !== undefined) nativeAddon()?.setThreads(args.threads);
  const { chooseBackend } = await import('../distill/backend/choose-backend.ts');
  const before = await RunFolder.backendOf(run);
  const kept = args.backend === 'auto' ? before?.option : undefined;
  const chosen = await chooseBackend(kept ?? args.backend, gpuJournal()).catch((error: unknown) => {
    if (kept === undefined) throw error;
    return chooseBackend('auto', gpuJournal());
  });
  const lines = [`trains on ${[`${chosen.description}.`, ...chosen.reasons].join(' ')}`];
  if (chosen.notice !== undefined) lines.push(chosen.notice);
  if (before !== undefined && before.option !== chosen.option) {
    lines.push(
      `The run so far was trained on ${before.description}: its numbers are rounded otherwise, so the curve will ` +
        'differ a little from that of an undisturbed run.',
    );
  }
  if (args.progress !== 'none') for (const line of lines) process.stderr.write(`onebit: ${line}\n`);
  return chosen;
}
