import { Option, type Command } from 'commander';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { modelFolder } from '../checkpoint/starter.ts';
import { openEngine } from '../engine/open-engine.ts';
import { usualWindow } from '../evaluate/perplexity.ts';
import { loadTask, runTask, taskSequences, type TaskResult } from '../evaluate/run-task.ts';
import { OneBitError } from '../protocol/error.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { engineOptions, printNotice, withEngineOptions, type EngineFlags } from './engine-options.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';
import { taskFiles, taskJson, withTaskOptions } from './task-option.ts';

interface Flags extends EngineFlags {
  model: string;
  tokenizer?: string;
  task?: string[];
  limit?: number;
  progress: 'auto' | 'json' | 'none';
  json?: boolean;
}

/** `onebit eval tasks`: accuracy on questions from local files. */
export function register(evaluate: Command): void {
  const command = evaluate
    .command('tasks')
    .description('Multiple choice as lm-evaluation-harness scores it, without examples; code infilling.')
    .option('--model <folder>', 'model folder, llama2.c file, or "starter"', 'starter')
    .option('--tokenizer <path>', 'tokenizer file or folder, where the model has none');
  withEngineOptions(withTaskOptions(command))
    .addOption(new Option('--progress <how>', 'progress').choices(['auto', 'json', 'none']).default('auto'))
    .option('--json', 'print JSON with the harness’s names: acc, acc_stderr, acc_norm, …')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const files = taskFiles(flags.task ?? []);
  if (files.length === 0) {
    throw new OneBitError('bad-request', 'Give at least one --task, such as --task piqa=valid.jsonl.');
  }
  const signal = processSignal();
  const path = modelFolder(flags.model);
  const tasks = [];
  for (const file of files) tasks.push(await loadTask(file, flags.limit));
  const tokenizer = await loadTokenizer(flags.tokenizer ?? path);
  const checkpoint = await openCheckpoint(path, signal);
  const engine = await openEngine(
    checkpoint,
    {
      ...engineOptions(flags),
      contextLength: flags.context ?? Math.min(usualWindow, checkpoint.config.maxPositions),
      sequences: taskSequences,
    },
    { signal, onNotice: printNotice },
  ).catch(async (error: unknown) => {
    await checkpoint.close();
    throw error;
  });
  try {
    const onProgress = progressOutput(flags.progress);
    const results: TaskResult[] = [];
    for (const task of tasks) results.push(await runTask(engine, tokenizer, task, { signal, onProgress }));
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ model: flags.model, tasks: results.map(taskJson) })}\n`
        : results.map((result) => `${taskLine(result)}\n`).join(''),
    );
  } finally {
    await engine.dispose();
    // Not earlier: a model that loses its GPU is read again.
    await checkpoint.close();
  }
}

function taskLine({ task, questions, scores, truncated, seconds }: TaskResult): string {
  const figures = scores.map(
    ({ name, value, stderr }) =>
      `${name} ${value.toFixed(4)}${stderr === undefined ? '' : ` ± ${stderr.toFixed(4)}`}`,
  );
  const cut = truncated === 0 ? '' : `, ${truncated} cut to the context`;
  return `${task}: ${figures.join(', ')} (${questions} questions${cut}, ${seconds.toFixed(0)} s)`;
}
