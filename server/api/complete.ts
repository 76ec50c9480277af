import type { CheckedCompletionParams, CompletionResult } from '../protocol/completion.ts';
import type { Gap } from '../tokenizer/completion-prompt.ts';
import { generateText, withModel, type TextServices } from './generate-text.ts';

/**
 * Runs one completion of an editor on the host's model, loading it first if need be.
 * Aborting ends it within one token, with the text so far and finishReason `cancelled`; while it
 * still waits for the model it throws `cancelled`.
 * @param client the window that asks
 * @param onText each piece of text as it comes
 * @throws busy (queue full), no-model, no-tokenizer, bad-request, cancelled
 */
export async function complete(
  services: TextServices,
  params: CheckedCompletionParams,
  client: string,
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<CompletionResult> {
  const { id, path, extra, temperature, topK, topP, minP, repetitionPenalty, seed } = params;
  return withModel(
    services,
    async (ready) => {
      const result = await generateText(
        ready,
        {
          input: { gap: { ...around(params), path, extra }, mustInfill: false },
          maxTokens: params.maxTokens,
          sampling: { temperature, topK, topP, minP, repetitionPenalty, seed },
          stop: params.stop,
          singleLine: params.singleLine,
          maxMilliseconds: params.maxMilliseconds,
          reuseCache: params.reuseCache,
          turn: { priority: 'editor', client },
        },
        services.metrics,
        ({ text }) => {
          if (text !== '') onText(text);
        },
        signal,
      );
      const { text, finishReason, infilled, timings } = result;
      return { id, text, finishReason, model: ready.summary.id, infilled, timings };
    },
    signal,
  );
}

/**
 * The text around the gap. With nothing after the cursor there is none to fill: the prefix is continued. Otherwise
 * the cursor's line goes after the middle token: while it is typed, the prompt up to there stays the same.
 */
function around({ prefix, suffix }: CheckedCompletionParams): Pick<Gap, 'prefix' | 'suffix' | 'begun'> {
  if (suffix === '') return { prefix, suffix: undefined };
  const line = prefix.lastIndexOf('\n') + 1;
  return { prefix: prefix.slice(0, line), begun: prefix.slice(line), suffix };
}
