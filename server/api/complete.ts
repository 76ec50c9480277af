import type { CheckedCompletionParams, CompletionResult } from '../protocol/completion.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { buildPrompt, LeadSkipper, type Gap } from '../tokenizer/completion-prompt.ts';
import type { Metrics } from './metrics.ts';
import type { ModelHost } from './model-host.ts';

export type CompletionOptions = Omit<
  CheckedCompletionParams,
  'prefix' | 'suffix' | 'extra' | 'language' | 'path'
>;

/**
 * Text around a gap to be put together as a prompt, or a prompt that is tokens already. Where the model
 * cannot use the suffix it is left out, unless it must be used.
 */
export type CompletionInput = (Gap & { mustInfill?: boolean }) | { ids: number[] };

export interface CompletionServices {
  host: ModelHost;
  metrics: Metrics;
}

/**
 * Runs one completion on the host's model, loading it first if need be.
 * Aborting ends it within one token, with the text so far and finishReason `cancelled`; while it
 * still waits for the model it throws `cancelled`.
 * @param onText each piece of text as it comes
 * @throws busy (queue full), no-model, no-tokenizer, unsupported (mustInfill), bad-request, cancelled
 */
export async function complete(
  { host, metrics }: CompletionServices,
  input: CompletionInput,
  options: CompletionOptions,
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<CompletionResult> {
  const run = host.use(async (model, summary) => {
    const { tokenizer } = model;
    if (tokenizer === undefined) {
      throw new OneBitError(
        'no-tokenizer',
        `${summary.path} has no tokenizer: put its tokenizer.json (or tokenizer.model) there and load it again.`,
      );
    }
    if ('prefix' in input && input.mustInfill && tokenizer.infill === undefined) {
      throw new OneBitError(
        'unsupported',
        `${summary.id} has no fill-in-the-middle tokens: leave "suffix" out, or load a model that has them.`,
      );
    }
    const prompt =
      'ids' in input
        ? { ids: input.ids, lead: '', infilled: false, maxTokens: options.maxTokens, stopIds: [] }
        : buildPrompt(tokenizer, input, options.maxTokens, model.contextLength);
    const { temperature, topK, topP, minP, repetitionPenalty, seed } = options;
    const pieces = new LeadSkipper(prompt.lead);
    const result = await model.generate(
      {
        prompt: prompt.ids,
        maxTokens: prompt.maxTokens,
        sampling: { temperature, topK, topP, minP, repetitionPenalty, seed },
        stop: options.stop,
        stopIds: [...model.config.eosTokenIds, ...tokenizer.eosIds, ...prompt.stopIds],
        singleLine: options.singleLine,
        maxMilliseconds: options.maxMilliseconds,
      },
      (piece) => {
        const text = pieces.push(piece.text);
        if (text !== '') onText(text);
      },
      signal,
    );
    const completed: CompletionResult = {
      id: options.id,
      text: new LeadSkipper(prompt.lead).push(result.text),
      finishReason: result.finishReason,
      model: summary.id,
      infilled: prompt.infilled,
      timings: result.timings,
    };
    metrics.completed(completed);
    return completed;
  }, signal);
  return run.catch((error: unknown) => {
    metrics.failed(asOneBitError(error).code);
    throw error;
  });
}
