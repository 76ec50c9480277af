import type { Command } from 'commander';
import { scratchRecipe } from '../distill/presets.ts';
import { optimizerRecipeSchema, type OptimizerRecipe } from '../protocol/recipe.ts';
import { integer, number } from './arguments.ts';
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

interface TrainArguments extends TrainingArguments, Partial<OptimizerRecipe> {
  tokenizer: string;
  hidden: number;
  ffn: number;
  layers: number;
  heads: number;
  kvHeads: number;
  positions: number;
  ropeTheta: number;
  untied: boolean;
}

/** `onebit train`: a small LLaMA from scratch, written as a Hugging Face folder in fp16. */
export function register(program: Command): void {
  const command = program
    .command('train')
    .description('Train a small LLaMA from scratch on text or code.')
    .requiredOption('--tokenizer <path>', 'tokenizer.json, or a folder that has one')
    .option('--hidden <n>', 'hidden size', integer(8, 1 << 16), 256)
    .option('--ffn <n>', 'inner size of the MLP', integer(8, 1 << 18), 704)
    .option('--layers <n>', 'decoder blocks', integer(1, 512), 5)
    .option('--heads <n>', 'attention heads', integer(1, 1024), 8)
    .option('--kv-heads <n>', 'key and value heads', integer(1, 1024), 4)
    .option('--positions <n>', 'longest context', integer(8, 1 << 20), 512)
    .option('--rope-theta <x>', 'base of the rotary embedding', number(1), 10_000)
    .option('--untied', 'give lm_head weights of its own', false);
  addTrainingOptions(command);
  addRecipeOptions(command, optimizerRecipeSchema, { train: scratchRecipe });
  command.action(async (args: TrainArguments) => {
    const signal = processSignal();
    const recipe = recipeOf(args, scratchRecipe);
    // Loaded here: the other commands start without the training graph.
    const { trainModel } = await import('../distill/train-model.ts');
    const data = dataOptionsOf(args, args.positions);
    const run = await prepareRun(args, [args.tokenizer]);
    const backend = await startBackend(args, run);
    const { option, description, reasons } = backend;
    const result = await trainModel(
      {
        shape: {
          hiddenSize: args.hidden,
          intermediateSize: args.ffn,
          layers: args.layers,
          heads: args.heads,
          kvHeads: args.kvHeads,
          headDim: args.hidden / args.heads,
          maxPositions: args.positions,
          ropeTheta: args.ropeTheta,
          tieEmbeddings: !args.untied,
        },
        tokenizer: args.tokenizer,
        data,
        trainer: trainerOptionsOf(args, recipe, data.window, 2000),
        recompute: recipe.recompute,
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
      process.stdout.write(
        `${result.output}: ${result.parameters} parameters, ${result.steps} steps, ${result.tokens} tokens, ` +
          `held-out perplexity ${result.perplexity.toFixed(2)}\n`,
      );
    }
  });
}
