import type { Command } from 'commander';
import { z } from 'zod';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { modelFolder } from '../checkpoint/starter.ts';
import { openEngine } from '../engine/open-engine.ts';
import { chooseWindow, perplexity, usualWindow } from '../evaluate/perplexity.ts';
import { readText } from '../evaluate/read-text.ts';
import { bitsPerByte, readTextTokens } from '../evaluate/text-tokens.ts';
import { OneBitError } from '../protocol/error.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { integer } from './arguments.ts';
import { engineOptions, printNotice, withEngineOptions, type EngineFlags } from './engine-options.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';

interface Flags extends EngineFlags {
  model: string;
  text?: string;
  tokenIds?: string;
  tokenizer?: string;
  window?: number;
  stride?: number;
  maxTokens?: number;
  json?: boolean;
}

/** `onebit eval ppl`: perplexity of a text or of token ids. */
export function register(evaluate: Command): void {
  const command = evaluate
    .command('ppl')
    .description('Perplexity by sliding windows.')
    .option('--model <folder>', 'model folder, llama2.c file, or "starter"', 'starter')
    .option('--text <file>', 'UTF-8 text, plain or .gz')
    .option('--token-ids <file>', 'JSON: [ids] or [[ids], …]')
    .option('--tokenizer <path>', 'tokenizer file or folder, where the model has none')
    .option('--window <n>', `tokens a window holds; default: the context, at most ${usualWindow}`, integer(2))
    .option(
      '--stride <n>',
      'tokens between two windows; default: the window. Each token has at least window − stride before it',
      integer(1),
    )
    .option('--max-tokens <n>', 'use only the first n tokens of each sequence', integer(2))
    .option('--json', 'print {"nll","ppl","tokens","stderr","window","stride","windows","bitsPerByte"}');
  withEngineOptions(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  if ((flags.text === undefined) === (flags.tokenIds === undefined)) {
    throw new OneBitError('bad-request', 'Give either --text or --token-ids.');
  }
  const signal = processSignal();
  const path = modelFolder(flags.model);
  const text =
    flags.text === undefined
      ? undefined
      : await readTextTokens(flags.text, await loadTokenizer(flags.tokenizer ?? path));
  const all = text === undefined ? await tokenIds(flags.tokenIds ?? '') : [text.ids];
  const sequences = all.map((sequence) => sequence.slice(0, flags.maxTokens ?? sequence.length));
  const checkpoint = await openCheckpoint(path, signal);
  try {
    const window = chooseWindow(flags.window, flags.context ?? checkpoint.config.maxPositions);
    const stride = flags.stride ?? window;
    const options = { ...engineOptions(flags), contextLength: flags.context ?? window, sequences: 1 };
    const engine = await openEngine(checkpoint, options, { signal, onNotice: printNotice });
    try {
      const onProgress = progressOutput(flags.json ? 'none' : 'auto');
      const result = await perplexity(engine, sequences, { window, stride, signal, onProgress });
      const perByte = text === undefined ? {} : { bitsPerByte: bitsPerByte(result.nll, text) };
      const summary =
        `perplexity ${result.ppl.toFixed(4)} ± ${result.stderr.toFixed(4)} (nll ${result.nll.toFixed(5)}, ` +
        `${result.tokens} tokens, ${result.windows} windows of ${window}, stride ${stride})`;
      process.stdout.write(`${flags.json ? JSON.stringify({ ...result, ...perByte }) : summary}\n`);
    } finally {
      await engine.dispose();
    }
  } finally {
    await checkpoint.close();
  }
}

const ids = z.array(z.number().int().min(0));
const idsFile = z.union([ids.transform((flat) => [flat]), z.array(ids)]);

async function tokenIds(file: string): Promise<number[][]> {
  const raw = await readText(file);
  let parsed: unknown;
  try {
    parsed = JSON.parse(raw);
  } catch (cause) {
    throw new OneBitError('bad-file', `${file} is not JSON.`, { cause });
  }
  const checked = idsFile.safeParse(parsed);
  if (!checked.success) {
    throw new OneBitError('bad-file', `${file} must hold [ids] or [[ids], …] with whole numbers from 0.`);
  }
  return checked.data;
}
