import { randomUUID } from 'node:crypto';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { CompletionResult } from '../protocol/completion.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import {
  complete,
  type CompletionServices,
  type CompletionInput,
  type CompletionOptions,
} from './complete.ts';
import { errorBody, sendError } from './http-errors.ts';
import type { KnownModels } from './known-models.ts';
import type { ModelHost } from './model-host.ts';
import { explain } from './rpc-methods.ts';

const text = z.string().max(1_000_000);
const stop = z.string().min(1).max(200);

/** The body of `POST /v1/completions`: OpenAI's fields, with its defaults; top_k and the like come from other servers. */
const bodySchema = z.object({
  model: z.string().max(4096).nullish(),
  prompt: z.union([text, z.array(text).length(1), z.array(z.number().int().min(0)).min(1).max(1_000_000)]),
  suffix: text.nullish(),
  max_tokens: z.number().int().min(0).max(4096).nullish(),
  temperature: z.number().min(0).max(5).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.number().int().min(0).max(100_000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().min(0.1).max(10).nullish(),
  seed: z.number().int().min(0).nullish(),
  stop: z.union([stop, z.array(stop).max(16)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.literal(1, 'only 1 is supported').nullish(),
  best_of: z.literal(1, 'only 1 is supported').nullish(),
  echo: z.literal(false, 'not supported').nullish(),
  logprobs: z.literal(0, 'not supported').nullish(),
});
type Body = z.output<typeof bodySchema>;

/**
 * `POST /v1/completions`, as one answer or as server-sent events. A client that goes away stops its
 * generation. A `model` other than the current one is loaded if the server knows it.
 */
export async function completions(
  request: Request,
  response: Response,
  services: CompletionServices,
  models: KnownModels,
): Promise<void> {
  const { host } = services;
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const answer = {
    id: `cmpl-${randomUUID()}`,
    object: 'text_completion',
    created: Math.floor(Date.now() / 1000),
  };
  let streaming = false;
  try {
    const checked = bodySchema.safeParse(request.body ?? {});
    if (!checked.success) throw new OneBitError('bad-request', explain(checked.error));
    const body = checked.data;
    await choose(body.model ?? '', host, models, gone.signal);
    const send = (fields: object): void => {
      if (!streaming) {
        streaming = true;
        response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
      }
      response.write(`data: ${JSON.stringify({ ...answer, model: currentModel(host), ...fields })}\n\n`);
    };
    const onText = (piece: string): void => {
      if (body.stream) send({ choices: [choice(piece, null)] });
    };
    const result = await complete(services, inputOf(body), optionsOf(body, answer.id), onText, gone.signal);
    if (gone.signal.aborted) return;
    if (!body.stream) {
      response.json({
        ...answer,
        model: result.model,
        choices: [choice(result.text, finishReason(result))],
        usage: usage(result),
      });
      return;
    }
    send({ choices: [choice('', finishReason(result))] });
    if (body.stream_options?.include_usage) send({ choices: [], usage: usage(result) });
    response.end('data: [DONE]\n\n');
  } catch (caught) {
    if (gone.signal.aborted) return;
    if (!streaming) return sendError(response, caught);
    // The status is sent; clients of OpenAI's API look for an `error` member in the stream.
    response.end(`data: ${JSON.stringify(errorBody(asOneBitError(caught)))}\n\n`);
  }
}

/** Makes the named model the current one. @throws not-found if the server does not know it */
async function choose(
  name: string,
  host: ModelHost,
  models: KnownModels,
  signal: AbortSignal,
): Promise<void> {
  if (name === '' || name === 'default' || name === currentModel(host)) return;
  const known = (await models.list()).find((model) => model.id === name);
  if (known === undefined) {
    throw new OneBitError(
      'not-found',
      `There is no model "${name.slice(0, 200)}": GET /v1/models lists them; a folder is listed once it has been loaded.`,
    );
  }
  await host.load({ model: known.id }, signal);
}

function currentModel(host: ModelHost): string | undefined {
  return host.status().model?.id;
}

function inputOf({ prompt, suffix }: Body): CompletionInput {
  if (Array.isArray(prompt) && typeof prompt[0] === 'number') return { ids: prompt as number[] };
  const prefix = Array.isArray(prompt) ? String(prompt[0]) : prompt;
  return { prefix, suffix: suffix || undefined, extra: [], mustInfill: Boolean(suffix) };
}

function optionsOf(body: Body, id: string): CompletionOptions {
  return {
    id,
    maxTokens: body.max_tokens ?? 16,
    temperature: body.temperature ?? 1,
    topK: body.top_k ?? 0,
    topP: body.top_p ?? 1,
    minP: body.min_p ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    seed: body.seed ?? undefined,
    stop: typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []),
    singleLine: false,
    maxMilliseconds: 0,
  };
}

function choice(piece: string, finish: string | null): object {
  return { index: 0, text: piece, logprobs: null, finish_reason: finish };
}

function finishReason({ finishReason: reason }: CompletionResult): 'stop' | 'length' {
  return reason === 'length' || reason === 'time' ? 'length' : 'stop';
}

function usage({ timings }: CompletionResult): object {
  return {
    prompt_tokens: timings.promptTokens,
    completion_tokens: timings.completionTokens,
    total_tokens: timings.promptTokens + timings.completionTokens,
    prompt_tokens_details: { cached_tokens: timings.cachedTokens },
  };
}
