import { InvalidArgumentError, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { openLanguageModel } from '../engine/open-language-model.ts';
import { OneBitError } from '../protocol/error.ts';
import { engineOptions, printNotice, withEngineOptions, type EngineFlags } from './engine-options.ts';
import { integer, number } from './arguments.ts';
import { processSignal } from './signals.ts';

interface Flags extends EngineFlags {
  model: string;
  prompt?: string;
  promptIds?: number[];
  maxTokens: number;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repetitionPenalty: number;
  seed?: number;
  stop: string[];
  tokenizer?: string;
  json?: boolean;
}

/** `onebit generate`: text or token ids from a model, full-precision or 1-bit. */
export function register(program: Command): void {
  const command = program
    .command('generate')
    .description('Continue a prompt. With --prompt-ids the end-of-text token does not stop the run.')
    .option('--model <folder>', 'model folder, llama2.c file, or "starter"', 'starter')
    .option('--prompt <text>', 'text to continue')
    .option('--prompt-ids <ids>', 'token ids to continue, such as 1,2,3', idList)
    .option('--tokenizer <path>', 'tokenizer file or folder, where the model has none')
    .option('--max-tokens <n>', 'tokens to generate', integer(0), 128)
    .option('--temperature <t>', '0 = always the most likely token', number(0), 0)
    .option('--top-k <k>', 'keep the k most likely tokens; 0 = all', integer(0), 40)
    .option('--top-p <p>', 'keep the most likely tokens up to this probability', number(0, 1), 0.95)
    .option('--min-p <p>', 'drop tokens less likely than p times the most likely', number(0, 1), 0)
    .option('--repetition-penalty <x>', '1 = none', number(0.1, 10), 1)
    .option('--seed <n>', 'random seed', integer(0))
    .option('--stop <text...>', 'stop before this text', [])
    .option('--json', 'print {"ids","text"} when done');
  withEngineOptions(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  if ((flags.prompt === undefined) === (flags.promptIds === undefined)) {
    throw new OneBitError('bad-request', 'Give either --prompt or --prompt-ids.');
  }
  const signal = processSignal();
  const model = await openLanguageModel(
    modelFolder(flags.model),
    { ...engineOptions(flags), tokenizer: flags.tokenizer, sequences: 1 },
    { signal, onNotice: printNotice },
  );
  try {
    const prompt = flags.promptIds ?? model.tokenizer?.encode(flags.prompt ?? '', { bos: true });
    if (prompt === undefined) {
      throw new OneBitError(
        'no-tokenizer',
        `${model.path} has no tokenizer: give --tokenizer, or token ids with --prompt-ids.`,
      );
    }
    const { temperature, topK, topP, minP, repetitionPenalty, seed } = flags;
    const result = await model.generate(
      {
        prompt,
        maxTokens: flags.maxTokens,
        sampling: { temperature, topK, topP, minP, repetitionPenalty, seed },
        stop: flags.stop,
        stopIds: flags.promptIds === undefined ? undefined : [],
      },
      flags.json ? undefined : (event) => process.stdout.write(event.text),
      signal,
    );
    if (flags.json) process.stdout.write(`${JSON.stringify({ ids: result.ids, text: result.text })}\n`);
    else process.stdout.write(model.tokenizer === undefined ? `${result.ids.join(',')}\n` : '\n');
    if (result.finishReason === 'cancelled') throw new OneBitError('cancelled', 'Cancelled.');
  } finally {
    await model.dispose();
  }
}

function idList(text: string): number[] {
  const ids = text.split(',').map((part) => Number(part.trim() === '' ? NaN : part));
  if (ids.some((id) => !Number.isInteger(id) || id < 0)) {
    throw new InvalidArgumentError('Expected token ids such as 1,2,3.');
  }
  return ids;
}
