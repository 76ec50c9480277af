import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { ChosenLogprob, TokenLogprob } from '../../engine/token-logprobs.ts';
import { OneBitError } from '../../protocol/error.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { unsupportedField } from '../body-fields.ts';
import { messagesField } from '../chat-messages.ts';
import { generateText, withModel, type GeneratedText } from '../generate-text.ts';
import type { HttpServices } from '../http-routes.ts';
import { textRoute, turnOf } from '../text-route.ts';
import {
  chooseModel,
  finishReason,
  generationFields,
  generationRequest,
  maxTokensOf,
  seedOf,
  usage,
} from './generation.ts';

const bodySchema = z.object({
  ...generationFields,
  messages: messagesField,
  max_completion_tokens: generationFields.max_tokens,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  response_format: z.object({ type: z.literal('text', 'only text is supported') }).nullish(),
  tools: unsupportedField(),
  tool_choice: unsupportedField('none', 'auto'),
  functions: unsupportedField(),
});

/** `POST /v1/chat/completions`: OpenAI's chat through the model's chat template, whole or as server-sent events. */
export function chatCompletions(services: HttpServices): RequestHandler {
  const { host, metrics, models, leases } = services;
  return textRoute(leases, bodySchema, async ({ body, request, response, events, signal }) => {
    if (body.top_logprobs && !body.logprobs) {
      throw new OneBitError('bad-request', 'top_logprobs: ask for logprobs as well.');
    }
    const turn = turnOf(request, 'bulk');
    await chooseModel(body.model, host, models, signal);
    const answer = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000) };
    const seed = seedOf(body);
    const n = body.n ?? 1;
    const noUsage = body.stream_options?.include_usage ? { usage: null } : {};
    await withModel(
      services,
      async (ready) => {
        const { tokenizer } = ready;
        const model = ready.summary.id;
        const chunk = { ...answer, object: 'chat.completion.chunk', model };
        const send = (index: number, delta: object, logprobs: object | null, finish: string | null): void =>
          events.send({ ...chunk, choices: [{ index, delta, logprobs, finish_reason: finish }], ...noUsage });
        const scores = (chosen: readonly ChosenLogprob[]): object | null =>
          body.logprobs
            ? { content: chosen.map((each) => tokenScore(tokenizer, each)), refusal: null }
            : null;
        const choices: object[] = [];
        const texts: GeneratedText[] = [];
        for (let index = 0; index < n; index++) {
          let begun = false;
          // With the first piece, or the end: an error before it still has its status.
          const begin = (): void => {
            if (!begun) send(index, { role: 'assistant', content: '' }, null, null);
            begun = true;
          };
          const text = await generateText(
            ready,
            {
              ...generationRequest(body, seed, index),
              input: { messages: body.messages },
              maxTokens: maxTokensOf(body.max_completion_tokens ?? body.max_tokens),
              logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
              turn,
            },
            metrics,
            (piece) => {
              if (!body.stream) return;
              begin();
              send(index, { content: piece.text }, scores(piece.logprobs), null);
            },
            signal,
          );
          if (signal.aborted) return;
          texts.push(text);
          if (body.stream) {
            begin();
            send(index, {}, null, finishReason(text));
          }
          choices.push({
            index,
            message: { role: 'assistant', content: text.text, refusal: null },
            logprobs: scores(text.logprobs),
            finish_reason: finishReason(text),
          });
        }
        if (!body.stream) {
          response.json({ ...answer, object: 'chat.completion', model, choices, usage: usage(texts, n) });
          return;
        }
        if (body.stream_options?.include_usage)
          events.send({ ...chunk, choices: [], usage: usage(texts, n) });
        events.end('[DONE]');
      },
      signal,
    );
  });
}

function tokenScore(tokenizer: Tokenizer, { top, ...chosen }: ChosenLogprob): object {
  const named = ({ id, logprob }: TokenLogprob): object => ({
    token: tokenizer.tokenText(id),
    logprob,
    bytes: [...tokenizer.tokenBytes(id)],
  });
  return { ...named(chosen), top_logprobs: top.map(named) };
}
