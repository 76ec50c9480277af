import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { modelFolder } from '../checkpoint/starter.ts';
import { openEngine } from '../engine/open-engine.ts';
import { perplexity } from '../evaluate/perplexity.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { integer } from './arguments.ts';
import { engineOptions, withEngineOptions, type EngineFlags } from './engine-options.ts';
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

const largestDefaultWindow = 2048;

/** `onebit eval ppl`: perplexity of a text or of token ids. */
export function register(program: Command): void {
  const evaluate = program.command('eval').description('Measure a model.');
  const command = evaluate
    .command('ppl')
    .description('Perplexity by sliding windows.')
    .option('--model <folder>', 'model folder, llama2.c file, or "starter"', 'starter')
    .option('--text <file>', 'UTF-8 text')
    .option('--token-ids <file>', 'JSON: [ids] or [[ids], …]')
    .option('--tokenizer <path>', 'tokenizer file or folder, where the model has none')
    .option(
      '--window <n>',
      `tokens a window holds; default: the context, at most ${largestDefaultWindow}`,
      integer(2),
    )
    .option('--stride <n>', 'tokens between two windows; default: the window', integer(1))
    .option('--max-tokens <n>', 'use only the first n tokens of each sequence', integer(2))
    .option('--json', 'print {"nll","ppl","tokens"}');
  withEngineOptions(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  if ((flags.text === undefined) === (flags.tokenIds === undefined)) {
    throw new OneBitError('bad-request', 'Give either --text or --token-ids.');
  }
  const signal = processSignal();
  const path = modelFolder(flags.model);
  const all =
    flags.tokenIds === undefined
      ? [(await loadTokenizer(flags.tokenizer ?? path)).encode(await text(flags.text ?? ''), { bos: true })]
      : await tokenIds(flags.tokenIds);
  const sequences = all.map((sequence) => sequence.slice(0, flags.maxTokens ?? sequence.length));
  const checkpoint = await openCheckpoint(path, signal);
  const engine = await openEngine(
    checkpoint,
    { ...engineOptions(flags), contextLength: flags.context ?? flags.window, sequences: 1 },
    { signal },
  ).finally(() => checkpoint.close());
  try {
    const window = flags.window ?? Math.min(engine.contextLength, largestDefaultWindow);
    const stride = flags.stride ?? window;
    const onProgress = progressOutput(flags.json ? 'none' : 'auto');
    const result = await perplexity(engine, sequences, { window, stride, signal, onProgress });
    const summary = `perplexity ${result.ppl.toFixed(4)} (nll ${result.nll.toFixed(5)}, ${result.tokens} tokens, window ${window}, stride ${stride})`;
    process.stdout.write(`${flags.json ? JSON.stringify(result) : summary}\n`);
  } finally {
    await engine.dispose();
  }
}

async function text(file: string): Promise<string> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw asOneBitError(error, file);
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new OneBitError('bad-file', `${file} is not UTF-8 text.`, { cause });
  }
}

const ids = z.array(z.number().int().min(0));
const idsFile = z.union([ids.transform((flat) => [flat]), z.array(ids)]);

async function tokenIds(file: string): Promise<number[][]> {
  const raw = await text(file);
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
