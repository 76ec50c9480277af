import { z } from 'zod';
import type { SamplingOptions } from '../../engine/language-model.ts';
import { OneBitError } from '../../protocol/error.ts';
import { anySeed, stopField, stopList, unsupportedField } from '../body-fields.ts';
import type { GeneratedText, TextRequest } from '../generate-text.ts';
import type { KnownModels } from '../known-models.ts';
import type { ModelHost } from '../model-host.ts';
import { maxGenerationMs } from '../generate-text.ts';

// -1: until the context is full, as llama.cpp's clients say it.
const tokenCount = z.int().min(-1).max(1_000_000).nullish();

const penalty = z.number().min(0.1).max(10).nullish();

/** Fields that OpenAI's completions and chats have in common; top_k and the like come from other servers. */
export const generationFields = {
  model: z.string().max(4096).nullish(),
  max_tokens: tokenCount,
  temperature: z.number().min(0).max(5).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).max(1_000_000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: penalty,
  repeat_penalty: penalty,
  seed: z.int().nullish(),
  stop: stopField,
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.int().min(1).max(8).nullish(),
  frequency_penalty: unsupportedField(0),
  presence_penalty: unsupportedField(0),
  logit_bias: unsupportedField(),
};
type GenerationBody = z.output<z.ZodObject<typeof generationFields>>;

/** What the common fields ask for, with OpenAI's defaults, for each of the `n` texts: the first has the seed itself. */
export function generationRequest(
  body: GenerationBody,
  seed: number,
  index: number,
): Pick<TextRequest, 'sampling' | 'stop' | 'maxMilliseconds'> {
  const sampling: SamplingOptions = {
    temperature: body.temperature ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    topP: body.top_p ?? 1,
    minP: body.min_p ?? 0,
    repetitionPenalty: body.repetition_penalty ?? body.repeat_penalty ?? 1,
    seed: seed + index,
  };
  return { sampling, stop: stopList(body.stop), maxMilliseconds: maxGenerationMs };
}

/** @param count as the client gave it */
export function maxTokensOf(count: number | null | undefined): number | undefined {
  return count === null || count === undefined || count < 0 ? undefined : count;
}

export function seedOf({ seed }: GenerationBody): number {
  return seed ?? anySeed();
}

/** Makes the named model the current one. @throws not-found if the server does not know it */
export async function chooseModel(
  name: string | null | undefined,
  host: ModelHost,
  models: KnownModels,
  signal: AbortSignal,
): Promise<void> {
  if (!name || name === 'default' || name === host.status().model?.id) return;
  const known = (await models.list()).find((model) => model.id === name);
  if (known === undefined) {
    throw new OneBitError(
      'not-found',
      `There is no model "${name.slice(0, 200)}": GET /v1/models lists them; a folder is listed once it has been loaded.`,
    );
  }
  await host.load({ model: known.id }, signal);
}

export function finishReason({ finishReason: reason }: GeneratedText): 'stop' | 'length' {
  return reason === 'length' || reason === 'time' ? 'length' : 'stop';
}

/** Token counts of an answer; a prompt counts once, however many texts continue it. */
export function usage(texts: readonly GeneratedText[], perPrompt: number): object {
  const sum = (count: (timings: GeneratedText['timings']) => number, of = texts): number =>
    of.reduce((total, { timings }) => total + count(timings), 0);
  const firsts = texts.filter((_, i) => i % perPrompt === 0);
  const prompt = sum(({ promptTokens }) => promptTokens, firsts);
  const completion = sum(({ completionTokens }) => completionTokens);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum(({ cachedTokens }) => cachedTokens, firsts) },
  };
}
