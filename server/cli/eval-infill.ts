import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { measureInfilling, type AskedPrompt, type InfillFigure } from '../evaluate/compare-infilling.ts';
import { readCodeLines } from '../evaluate/code-lines.ts';
import { readInfilling, type InfillQuestion } from '../evaluate/infilling.ts';
import { OneBitError } from '../protocol/error.ts';
import { integer } from './arguments.ts';
import { engineOptions, printNotice, withEngineOptions, type EngineFlags } from './engine-options.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';
import { table } from './table.ts';

interface Flags extends EngineFlags {
  file?: string;
  code?: string;
  model: string;
  teacher?: string;
  prompt: AskedPrompt[];
  limit?: number;
  progress: 'auto' | 'json' | 'none';
  json?: boolean;
}

const defaultCodeLines = 1000;

/** `onebit eval infill`: exact match of single lines, a model's and its teacher's side by side. */
export function register(evaluate: Command): void {
  const command = evaluate
    .command('infill')
    .description('Single-line infilling: the share of lines that are the line that was there.')
    .option('--file <file>', 'HumanEval-SingleLineInfilling.jsonl, or .jsonl.gz')
    .option(
      '--code <file>',
      'lines of any code instead: JSON lines with "text", plain or .gz; 1000 of them, or --limit',
    )
    .option('--model <folder>', 'model folder, or "starter"', 'starter')
    .option('--teacher <folder>', 'measured beside it; of the starter its own teacher, by default')
    .addOption(
      new Option(
        '--prompt <kind...>',
        'completion: as completions ask this model; infill: with the fill-in-the-middle tokens, even if its files say not to; prefix: what follows the gap is not shown',
      )
        .choices(['completion', 'infill', 'prefix'])
        .default(['completion']),
    )
    .option('--limit <n>', 'only the first n questions', integer(1));
  withEngineOptions(command)
    .addOption(new Option('--progress <how>', 'progress').choices(['auto', 'json', 'none']).default('auto'))
    .option('--json', 'print JSON')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const signal = processSignal();
  const { file, questions } = await questionsOf(flags);
  const teacher = flags.teacher ?? (flags.model === 'starter' ? 'starter-teacher' : undefined);
  const hooks = { signal, onProgress: progressOutput(flags.progress), onNotice: printNotice };
  const figures: InfillFigure[] = [];
  for (const name of [flags.model, ...(teacher === undefined ? [] : [teacher])]) {
    const model = { name, path: modelFolder(name) };
    figures.push(...(await measureInfilling(model, questions, flags.prompt, engineOptions(flags), hooks)));
  }
  if (flags.json === true) {
    const rows = figures.map(({ score, ...facts }) => ({
      ...facts,
      exact_match: score.value,
      exact_match_stderr: score.stderr,
    }));
    process.stdout.write(`${JSON.stringify({ file, figures: rows })}\n`);
    return;
  }
  const heads = ['model', 'prompt', 'exact match', '±', 'questions', 'cut to context', 'seconds'];
  process.stdout.write(table([heads, ...figures.map(row)], (column) => column > 1));
}

async function questionsOf({
  file,
  code,
  limit,
}: Flags): Promise<{ file: string; questions: InfillQuestion[] }> {
  if (file !== undefined && code === undefined) {
    const questions = await readInfilling(file, limit);
    if (questions.length > 0) return { file, questions };
    throw new OneBitError('bad-file', `${file} holds no questions: is it the right file?`);
  }
  if (code !== undefined && file === undefined) {
    return { file: code, questions: await readCodeLines(code, limit ?? defaultCodeLines) };
  }
  throw new OneBitError('bad-request', 'Give either --file or --code.');
}

function row({ model, prompt, forced, score, questions, truncated, seconds }: InfillFigure): string[] {
  const kind = forced ? 'infill (forced)' : prompt;
  return [
    ...[model, kind, score.value.toFixed(4), score.stderr?.toFixed(4) ?? ''],
    ...[String(questions), String(truncated), seconds.toFixed(0)],
  ];
}
