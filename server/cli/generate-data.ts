import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import type { TeacherTextOptions } from '../distill/data/teacher-text.ts';
import { integer, number } from './arguments.ts';
import { kernelOptions, printNotice, withKernelOptions, type KernelFlags } from './engine-options.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';

interface Flags extends Omit<TeacherTextOptions, 'engine'>, KernelFlags {
  restart: boolean;
  progress: 'auto' | 'json' | 'none';
  json?: boolean;
}

/** `onebit generate-data`: training text that the teacher writes itself. */
export function register(program: Command): void {
  const command = program
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
    .option('--restart', 'throw away what an interrupted command left', false)
    .addOption(new Option('--progress <how>', 'progress').choices(['auto', 'json', 'none']).default('auto'))
    .option('--json', 'print the result as one line of JSON, the last one');
  // The CPU's logits do not depend on what runs beside them: the same command gives the same texts.
  withKernelOptions(command, 'cpu').action(run);
}

async function run(flags: Flags): Promise<void> {
  const signal = processSignal();
  // Loaded here: most commands need neither.
  const { writeTeacherText } = await import('../distill/data/teacher-text.ts');
  const { SampleFile } = await import('../distill/data/sample-file.ts');
  const { model, device, threads, path, exact, headBits, restart, progress, json, ...text } = flags;
  if (restart) await SampleFile.clear(text.output);
  const result = await writeTeacherText(
    { ...text, model: modelFolder(model), engine: kernelOptions({ device, threads, path, exact, headBits }) },
    { signal, onProgress: progressOutput(progress), onNotice: printNotice },
  );
  process.stdout.write(
    json === true
      ? `${JSON.stringify(result)}\n`
      : `${result.output}: ${result.samples} texts, ${result.tokens} tokens, ` +
          `${result.tokensPerSecond.toFixed(0)} tokens/s\n`,
  );
}
