import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { compare, type Baseline, type Comparison } from '../evaluate/compare.ts';
import { comparisonMarkdown } from '../evaluate/comparison-table.ts';
import { loadTask, type LoadedTask } from '../evaluate/run-task.ts';
import { writeWhole } from '../jobs/write-whole.ts';
import { OneBitError } from '../protocol/error.ts';
import { integer } from './arguments.ts';
import { engineOptions, printNotice, withEngineOptions, type EngineFlags } from './engine-options.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';
import { taskFiles, taskJson, withTaskOptions } from './task-option.ts';

interface Flags extends EngineFlags {
  teacher: string;
  students: string[];
  baselines: (Baseline | 'none')[];
  text?: string;
  window?: number;
  stride?: number;
  maxTokens?: number;
  task?: string[];
  limit?: number;
  output?: string;
  progress: 'auto' | 'json' | 'none';
  json?: boolean;
}

/** `onebit compare`: teacher, 1-bit baselines and students side by side. */
export function register(program: Command): void {
  const command = program
    .command('compare')
    .description('A table of teacher, round-to-nearest 1-bit, SVID only and students, on the same data.')
    .requiredOption('--teacher <folder>', 'full-precision model, or starter-teacher')
    .option('--students <folders...>', 'models made from it, or starter', [])
    .addOption(
      new Option('--baselines <names...>', '1-bit models that are made on the spot to compare with')
        .choices(['rtn', 'svid', 'none'])
        .default(['rtn', 'svid']),
    )
    .option('--text <file>', 'UTF-8 text for perplexity, plain or .gz')
    .option('--window <n>', 'tokens a window holds; default: all positions, at most 2048', integer(2))
    .option('--stride <n>', 'tokens between two windows; default: the window', integer(1))
    .option('--max-tokens <n>', 'use only the first n tokens of the text', integer(2));
  withEngineOptions(withTaskOptions(command))
    .option('--output <name>', 'also write NAME.md and NAME.json')
    .addOption(new Option('--progress <how>', 'progress').choices(['auto', 'json', 'none']).default('auto'))
    .option('--json', 'print JSON in place of Markdown')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const files = taskFiles(flags.task ?? []);
  if (files.length === 0 && flags.text === undefined) {
    throw new OneBitError('bad-request', 'Give --text, --task or both: there is nothing to compare by.');
  }
  const signal = processSignal();
  const tasks: LoadedTask[] = [];
  for (const file of files) tasks.push(await loadTask(file, flags.limit));
  const comparison = await compare(
    {
      teacher: modelFolder(flags.teacher),
      students: flags.students.map(modelFolder),
      baselines: flags.baselines.filter((name) => name !== 'none'),
      text: flags.text,
      window: flags.window,
      stride: flags.stride,
      maxTokens: flags.maxTokens,
      tasks,
      engine: engineOptions(flags),
    },
    { signal, onProgress: progressOutput(flags.progress), onNotice: printNotice },
  );
  const markdown = comparisonMarkdown(comparison);
  const json = comparisonJson(comparison);
  if (flags.output !== undefined) {
    await writeWhole(`${flags.output}.json`, `${JSON.stringify(json, undefined, 2)}\n`, 0o644);
    await writeWhole(`${flags.output}.md`, markdown, 0o644);
  }
  process.stdout.write(flags.json ? `${JSON.stringify(json)}\n` : markdown);
}

function comparisonJson({ text, models }: Comparison): Record<string, unknown> {
  return { text, models: models.map((model) => ({ ...model, tasks: model.tasks.map(taskJson) })) };
}
