import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { integer, number } from './arguments.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';

interface Flags {
  model: string;
  tokenizer?: string;
  output: string;
  samples: number;
  tokens: number;
  minTokens: number;
  temperature: number;
  seed: number;
  batch: number;
  threads?: number;
  path: 'auto' | 'native' | 'portable';
  exact?: boolean;
  restart: boolean;
  progress: 'auto' | 'json' | 'none';
  json?: boolean;
}

/** `onebit generate-data`: training text that the teacher writes itself. */
export function register(program: Command): void {
  program
    .command('generate-data')
    .description(
      'Let a teacher write training text for its student, as the paper does. Goes on if interrupted.',
    )
    .requiredOption('--model <folder>', 'the teacher (starter-teacher: the shipped one)')
    .requiredOption('--output <file>', 'new .jsonl or .jsonl.gz file, for --data')
    .requiredOption('--samples <n>', 'texts', integer(1, 1_000_000_000))
    .requiredOption('--tokens <n>', 'longest text, in tokens', integer(2, 1 << 20))
    .option('--min-tokens <n>', 'no text ends by itself before so many tokens', integer(0, 1 << 20), 0)
    .option('--tokenizer <path>', 'tokenizer file or folder, where the model has none')
    .option('--temperature <t>', 'of the sampled tokens', number(0.01, 100), 1)
    .option('--seed <n>', 'of everything random', integer(0), 0)
    .option('--batch <n>', 'texts side by side', integer(1, 1024), 16)
    .option('--threads <n>', 'threads; default: one a core', integer(1, 1024))
    .option('--exact', 'f32 activations instead of integers in a 1-bit model')
    .addOption(
      new Option('--path <path>', 'which CPU engine').choices(['auto', 'native', 'portable']).default('auto'),
    )
    .option('--restart', 'throw away what an interrupted command left', false)
    .addOption(new Option('--progress <how>', 'progress').choices(['auto', 'json', 'none']).default('auto'))
    .option('--json', 'print the result as one line of JSON, the last one')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const signal = processSignal();
  // Loaded here: most commands need neither.
  const { writeTeacherText } = await import('../distill/data/teacher-text.ts');
  const { SampleFile } = await import('../distill/data/sample-file.ts');
  const {
    model,
    tokenizer,
    output,
    samples,
    tokens,
    minTokens,
    temperature,
    seed,
    batch,
    threads,
    path,
    exact,
  } = flags;
  if (flags.restart) await SampleFile.clear(output);
  const result = await writeTeacherText(
    {
      model: modelFolder(model),
      ...{ tokenizer, output, samples, tokens, minTokens, temperature, seed, batch },
      engine: { threads, path, exact },
    },
    { signal, onProgress: progressOutput(flags.progress) },
  );
  process.stdout.write(
    flags.json === true
      ? `${JSON.stringify(result)}\n`
      : `${result.output}: ${result.samples} texts, ${result.tokens} tokens, ` +
          `${result.tokensPerSecond.toFixed(0)} tokens/s\n`,
  );
}
