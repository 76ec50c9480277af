import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import { Scheduler } from '../engine/scheduler.ts';
import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import { buildingPrompt, LeadSkipper, type Prompt } from '../tokenizer/completion-prompt.ts';
import { inSlices } from '../tokenizer/in-slices.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { parseJsonLines } from './json-lines.ts';
import { readText } from './read-text.ts';

const line = z.object({
  prompt: z.string(),
  suffix: z.string(),
  canonical_solution: z.string().regex(/\S/, 'there is nothing to fill in'),
});

/** A gap in code, and the line that was there. */
export interface InfillQuestion {
  prefix: string;
  suffix: string;
  /** The first line of what was there, without white space at its end. */
  expected: string;
}

/**
 * HumanEval single-line infilling (Bavarian et al. 2022) from OpenAI's JSON lines: `prompt`, `suffix`,
 * `canonical_solution`.
 * @throws not-found, unreadable, unsupported, bad-file naming file, line and field
 */
export async function readInfilling(path: string, limit?: number): Promise<InfillQuestion[]> {
  return parseJsonLines(await readText(path), path, line, limit).map(({ value }) => ({
    prefix: value.prompt,
    suffix: value.suffix,
    expected: firstLine(value.canonical_solution),
  }));
}

export interface InfillScores {
  /** By question. */
  right: boolean[];
  /** Questions of which the prompt had to leave something out to fit the context. */
  truncated: number;
}

/** What a model is shown: prefix and suffix with its fill-in-the-middle tokens, or the prefix alone. */
export type InfillPrompt = 'infill' | 'prefix';

/** Tokens beyond those of the longest expected line, for a model that writes a line in shorter ones. */
const spareTokens = 16;

/**
 * Which gaps the model fills with the line that was there. It continues greedily from the prompt that
 * completions use (prefix, suffix, middle), up to the line's end; white space at the end does not count.
 * A question ends as soon as its line cannot become the expected one any more.
 * @param options.sequences requests that run together
 * @param options.prompt default `infill`
 * @throws unsupported, with `infill`, for a tokenizer without fill-in-the-middle tokens; cancelled
 */
export async function fillIn(
  engine: Engine,
  tokenizer: Tokenizer,
  questions: readonly InfillQuestion[],
  options: {
    sequences: number;
    prompt?: InfillPrompt;
    signal?: AbortSignal;
    onQuestion?: (done: number) => void;
  },
): Promise<InfillScores> {
  const alone = options.prompt === 'prefix';
  if (!alone && tokenizer.infill === undefined) {
    throw new OneBitError(
      'unsupported',
      'The tokenizer has no fill-in-the-middle tokens: infilling can only be measured with a model that was trained for it.',
    );
  }
  const longest = Math.max(0, ...questions.map(({ expected }) => tokenizer.encode(expected).length));
  const maxTokens = longest + spareTokens;
  const { sequences, signal, onQuestion } = options;
  const scheduler = new Scheduler(engine, tokenizer, { sequences, queue: sequences });
  const right: boolean[] = questions.map(() => false);
  // The three parts' tokens, and BOS.
  const special = (alone ? 0 : 3) + (tokenizer.bosId === undefined ? 0 : 1);
  let truncated = 0;
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    for (let question = questions[next]; question !== undefined; question = questions[next]) {
      const i = next++;
      throwIfCancelled(signal);
      const { prefix } = question;
      const suffix = alone ? undefined : question.suffix;
      const prompt = await inSlices(
        buildingPrompt(tokenizer, { extra: [], prefix, suffix }, maxTokens, engine.contextLength),
      );
      const shown = prefix.slice(0, prefix.length - prompt.lead.length);
      const around = [shown, suffix ?? ''].reduce(
        (sum, text) => sum + tokenizer.encode(text).length,
        special,
      );
      if (prompt.ids.length < around) truncated++;
      const stopIds = [...engine.config.eosTokenIds, ...tokenizer.eosIds, ...prompt.stopIds];
      right[i] = await writesLine(scheduler, { ...prompt, stopIds }, question.expected, signal);
      onQuestion?.(++done);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(sequences, questions.length) }, work));
  } finally {
    await scheduler.dispose();
  }
  return { right, truncated };
}

/** Whether the line that follows the prompt is the expected one. */
async function writesLine(
  scheduler: Scheduler,
  { ids, lead, maxTokens, stopIds }: Prompt,
  expected: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const lost = new AbortController();
  const pieces = new LeadSkipper(lead);
  let written = '';
  const { finishReason } = await scheduler.submit(
    {
      prompt: ids,
      maxTokens,
      sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
      stop: ['\n'],
      stopIds,
    },
    ({ text }) => {
      written += pieces.push(text);
      if (!expected.startsWith(written) && written.trimEnd() !== expected) lost.abort();
    },
    signal === undefined ? lost.signal : AbortSignal.any([signal, lost.signal]),
  );
  throwIfCancelled(signal);
  return finishReason === 'stop' && written.trimEnd() === expected;
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').trimEnd();
}
