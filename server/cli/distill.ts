import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { authorsWeights } from '../distill/distillation-weights.ts';
import type { LatentStart } from '../distill/student-start.ts';
import { number } from './arguments.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';
import {
  addTrainingOptions,
  dataOptionsOf,
  prepareRun,
  startBackend,
  trainerOptionsOf,
  type TrainingArguments,
} from './training-options.ts';

interface DistillArguments extends TrainingArguments {
  teacher: string;
  student?: string;
  latentStart: LatentStart;
  klWeight: number;
  hiddenWeight: number;
  lmWeight: number;
  trainAll: boolean;
}

const defaults = { learningRate: 4e-4, warmup: 50, batch: 8, microBatch: 4, clip: 1, weightDecay: 0.01 };

/** `onebit distill`: a 1-bit student from a full-precision teacher. */
export function register(program: Command): void {
  const command = program
    .command('distill')
    .description('Distill a 1-bit student from a full-precision teacher.')
    .requiredOption('--teacher <folder>', 'full-precision model (starter-teacher: the shipped one)')
    .option('--student <folder>', '1-bit model to start from (default: made by SVID)')
    .addOption(
      new Option('--latent-start <how>', 'latent weights: all of one size, or in proportion to the weights')
        .choices(['signs', 'weights'])
        .default('signs'),
    )
    .option('--kl-weight <x>', 'of the mean KL per token', number(0), authorsWeights.kl)
    .option('--hidden-weight <x>', 'of the hidden-state loss', number(0), authorsWeights.hidden)
    .option('--lm-weight <x>', 'of the language-model loss', number(0), authorsWeights.languageModel)
    .option('--train-all', 'also train embedding, norms and head', false);
  addTrainingOptions(command, defaults).action(async (args: DistillArguments) => {
    const signal = processSignal();
    // Loaded here: the other commands start without the training graph.
    const { distillStudent } = await import('../distill/distill-student.ts');
    await startBackend(args.threads);
    const teacher = modelFolder(args.teacher);
    const student = args.student === undefined ? undefined : modelFolder(args.student);
    const checkpoint = await openCheckpoint(teacher, signal);
    await checkpoint.close();
    const data = dataOptionsOf(args, checkpoint.config.maxPositions);
    const run = await prepareRun(args, [teacher, student]);
    const result = await distillStudent(
      {
        teacher,
        student,
        latentStart: args.latentStart,
        losses: { kl: args.klWeight, hidden: args.hiddenWeight, languageModel: args.lmWeight },
        trainAll: args.trainAll,
        data,
        trainer: trainerOptionsOf(args, data.window, 1000),
        output: args.output,
        run,
      },
      { signal, onProgress: progressOutput(args.progress) },
    );
    if (args.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else {
      const { teacher: ofTeacher, start, student } = result.perplexity;
      process.stdout.write(
        `${result.output}: ${result.steps} steps; held-out perplexity: teacher ${ofTeacher.toFixed(2)}, ` +
          `before distillation ${start.toFixed(2)}, now ${student.toFixed(2)}\n`,
      );
    }
  });
}
