import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { presetFor, presets } from '../distill/presets.ts';
import {
  presetSchema,
  recipeSchema,
  studentRecipeSchema,
  type Preset,
  type Recipe,
} from '../protocol/recipe.ts';
import { integer } from './arguments.ts';
import { progressOutput } from './progress-output.ts';
import { addRecipeOptions, recipeOf } from './recipe-options.ts';
import { processSignal } from './signals.ts';
import {
  addTrainingOptions,
  dataOptionsOf,
  prepareRun,
  startBackend,
  trainerOptionsOf,
  type TrainingArguments,
} from './training-options.ts';

interface DistillArguments extends TrainingArguments, Partial<Recipe> {
  teacher: string;
  student?: string;
  preset?: Preset;
  teacherCache?: string;
  teacherCacheTop: number;
  teacherCacheWindows: number;
}

/** `onebit distill`: a 1-bit student from a full-precision teacher. */
export function register(program: Command): void {
  const command = program
    .command('distill')
    .description('Distill a 1-bit student from a full-precision teacher.')
    .requiredOption('--teacher <folder>', 'full-precision model (starter-teacher: the shipped one)')
    .option(
      '--student <folder>',
      '1-bit model to start from, or the run of one, with its latent weights (default: made anew, see --start)',
    )
    .addOption(
      new Option(
        '--preset <name>',
        'defaults of the recipe (default: small below a billion parameters, else paper)',
      ).choices(presetSchema.options),
    );
  command
    .option(
      '--teacher-cache <folder>',
      'keep what the teacher says of fixed windows there, and train on it (no hidden-state loss)',
    )
    .option('--teacher-cache-top <n>', 'tokens kept a position', integer(1), 64)
    .option('--teacher-cache-windows <n>', 'windows kept', integer(1), 1024);
  addTrainingOptions(command);
  addRecipeOptions(command, recipeSchema, presets);
  command.action(async (args: DistillArguments) => {
    const signal = processSignal();
    // Loaded here: the other commands start without the training graph.
    const { distillStudent } = await import('../distill/distill-student.ts');
    const teacher = modelFolder(args.teacher);
    const student = args.student === undefined ? undefined : modelFolder(args.student);
    const checkpoint = await openCheckpoint(teacher, signal);
    await checkpoint.close();
    const parameters = [...checkpoint.tensors.values()].reduce(
      (sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1),
      0,
    );
    const preset = args.preset ?? presetFor(parameters);
    const recipe = recipeOf(args, presets[preset]);
    // Given by name it is refused; from the preset it is switched off.
    if (args.teacherCache !== undefined && args.hiddenWeight === undefined && recipe.hiddenWeight > 0) {
      recipe.hiddenWeight = 0;
      process.stderr.write('onebit: with --teacher-cache the hidden-state loss is off.\n');
    }
    const data = dataOptionsOf(args, checkpoint.config.maxPositions);
    const run = await prepareRun(args, [teacher, student]);
    const backend = await startBackend(args, run);
    const { option, description, reasons } = backend;
    const result = await distillStudent(
      {
        teacher,
        student,
        preset,
        recipe: studentRecipeSchema.parse(recipe),
        recompute: recipe.recompute,
        ...(args.teacherCache !== undefined && {
          teacherCache: {
            folder: args.teacherCache,
            top: args.teacherCacheTop,
            windows: args.teacherCacheWindows,
          },
        }),
        data,
        trainer: trainerOptionsOf(args, recipe, data.window, 1000),
        output: args.output,
        run,
        backend: { option, description, reasons },
      },
      { signal, onProgress: progressOutput(args.progress) },
    ).finally(() => backend.dispose());
    if (args.json) {
      const peakRssBytes = process.resourceUsage().maxRSS * 1024;
      process.stdout.write(`${JSON.stringify({ ...result, peakRssBytes })}\n`);
    } else {
      const { teacher: ofTeacher, start, student } = result.perplexity;
      process.stdout.write(
        `${result.output}: preset ${preset}, ${result.steps} steps; held-out perplexity: ` +
          `teacher ${ofTeacher.toFixed(2)}, before distillation ${start.toFixed(2)}, now ${student.toFixed(2)}\n`,
      );
    }
  });
}
