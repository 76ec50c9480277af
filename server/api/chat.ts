import type { ChatCountParams, ChatResult, CheckedChatParams } from '../protocol/chat.ts';
import { OneBitError } from '../protocol/error.ts';
import { inSlices } from '../tokenizer/in-slices.ts';
import { encodingWithSpecial } from '../tokenizer/special-names.ts';
import { generateText, maxGenerationMs, renderChat, withModel, type TextServices } from './generate-text.ts';
import { withText } from './long-texts.ts';

/**
 * Runs one turn of a conversation on the host's model, loading it first if need be. It waits behind editors'
 * completions, as every chat does. Aborting ends it within one token, with the text so far and finishReason `cancelled`;
 * while it still waits for the model it throws `cancelled`.
 * @param client who asks, for fairness among bulk requests
 * @param onText each piece of text as it comes
 * @throws not-found (another model is in use), unsupported (no chat template), busy, no-model, no-tokenizer,
 *   bad-request, cancelled
 */
export async function chat(
  services: TextServices,
  { id, model, messages, maxTokens, stop, ...sampling }: CheckedChatParams,
  client: string,
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<ChatResult> {
  return withModel(
    services,
    async (ready) => {
      const { summary } = ready;
      if (model !== undefined && model !== summary.id) {
        throw new OneBitError(
          'not-found',
          `${model} is no longer the model in use; it is ${summary.id}. Choose the model again.`,
        );
      }
      const result = await generateText(
        ready,
        {
          input: { messages },
          maxTokens,
          sampling: { ...sampling, repetitionPenalty: 1 },
          stop,
          maxMilliseconds: maxGenerationMs,
          turn: { priority: 'bulk', client },
        },
        services.metrics,
        ({ text }) => {
          if (text !== '') onText(text);
        },
        signal,
      );
      const { text, finishReason, timings } = result;
      return { id, text, finishReason, model: summary.id, timings };
    },
    signal,
  );
}

/**
 * The tokens that a conversation takes of the context.
 * @throws unsupported (no chat template), bad-request (the template refuses it), no-model, no-tokenizer, cancelled
 */
export function countChat(
  services: TextServices,
  { messages }: ChatCountParams,
  signal: AbortSignal,
): Promise<{ tokens: number }> {
  return withModel(
    services,
    async (ready) => {
      const text = renderChat(ready, messages, false);
      const encode = () => inSlices(encodingWithSpecial(ready.tokenizer, text), signal);
      return { tokens: (await withText(text.length, encode, signal)).length };
    },
    signal,
  );
}
