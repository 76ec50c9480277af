import { shortList, z } from '../../protocol/schema.ts';
import type { SamplingOptions } from '../../engine/language-model.ts';
import type { TokenLogprob } from '../../engine/token-logprobs.ts';
import { decodeWithSpecial } from '../../tokenizer/special-names.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { anySeed, stopField, stopList, unsupportedField } from '../body-fields.ts';
import type { GeneratedText, ReadyModel, TextPiece, TextRequest } from '../generate-text.ts';
import { maxGenerationMs } from '../generate-text.ts';

const milliseconds = z.int().min(-1).max(maxGenerationMs).nullish();
const repetitions = z.int().min(1).max(8).nullish();

/** Samplers as llama.cpp's letters name them; others are left out. */
function samplersByLetter(letters: string): string[] {
  const names = new Map([
    ['k', 'top_k'],
    ['p', 'top_p'],
    ['m', 'min_p'],
    ['t', 'temperature'],
    ['e', 'penalties'],
    ['i', 'infill'],
  ]);
  return Array.from(letters, (letter) => names.get(letter)).filter((name) => name !== undefined);
}

/** Fields that llama.cpp's /completion and /infill have in common. */
export const generationFields = {
  n_predict: z.int().min(-2).max(1_000_000).nullish(),
  // As Twinny sends it.
  max_tokens: z.int().min(-2).max(1_000_000).nullish(),
  temperature: z.number().max(5).nullish(),
  top_k: z.int().max(1_000_000).nullish(),
  top_p: z.number().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repeat_penalty: z.number().min(0.1).max(10).nullish(),
  seed: z
    .int()
    .min(-1)
    .max(2 ** 32 - 1)
    .nullish(),
  samplers: z
    .union([shortList(z.string().max(40), 32), z.string().max(32).transform(samplersByLetter)])
    .nullish(),
  stop: stopField,
  stream: z.boolean().nullish(),
  n_cmpl: repetitions,
  n: repetitions,
  n_indent: z.int().min(0).max(1000).nullish(),
  n_probs: z.int().min(0).max(100).nullish(),
  t_max_predict_ms: milliseconds,
  cache_prompt: z.boolean().nullish(),
  ignore_eos: z.boolean().nullish(),
  return_tokens: z.boolean().nullish(),
  id_slot: z.int().nullish(),
  grammar: unsupportedField(''),
  json_schema: unsupportedField(),
  logit_bias: unsupportedField(),
  lora: unsupportedField(),
  mirostat: unsupportedField(0),
  typical_p: unsupportedField(1),
  dynatemp_range: unsupportedField(0),
  xtc_probability: unsupportedField(0),
  dry_multiplier: unsupportedField(0),
  frequency_penalty: unsupportedField(0),
  presence_penalty: unsupportedField(0),
  post_sampling_probs: unsupportedField(false),
};
export type GenerationBody = z.output<z.ZodObject<typeof generationFields>>;

/** The least share of the most likely token's probability that alternatives to it have with the `infill` sampler. */
const alternativeMinP = 0.2;
/** The seed that stands for any. */
const randomSeed = 2 ** 32 - 1;

/** What the fields ask for, with llama.cpp's defaults filled in; the same for all texts of a request. */
export interface Generation {
  body: GenerationBody;
  sampling: SamplingOptions & { seed: number };
  /** The `infill` sampler: the most likely text first, then others. */
  greedyFirst: boolean;
  maxTokens: number | undefined;
  count: number;
}

/** What llama.cpp samples with where a request says nothing. */
export const defaultSampling = { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, repetitionPenalty: 1 };

export function generationOf(body: GenerationBody): Generation {
  // A sampler that the request does not name is not used.
  const uses = (name: string): boolean => body.samplers?.includes(name) ?? true;
  const predict = body.n_predict ?? body.max_tokens ?? -1;
  const { seed } = body;
  return {
    body,
    sampling: {
      temperature: uses('temperature') ? Math.max(0, body.temperature ?? defaultSampling.temperature) : 1,
      topK: uses('top_k') ? Math.max(0, body.top_k ?? defaultSampling.topK) : 0,
      topP: uses('top_p') ? Math.min(1, body.top_p ?? defaultSampling.topP) : 1,
      minP: uses('min_p') ? (body.min_p ?? defaultSampling.minP) : 0,
      repetitionPenalty: uses('penalties') ? (body.repeat_penalty ?? defaultSampling.repetitionPenalty) : 1,
      seed: seed === undefined || seed === null || seed < 0 || seed === randomSeed ? anySeed() : seed,
    },
    greedyFirst: body.samplers?.includes('infill') ?? false,
    maxTokens: predict < 0 ? undefined : predict,
    count: body.n_cmpl ?? body.n ?? 1,
  };
}

/**
 * The request for one of the texts of a prompt.
 * @param repetition 0 for the first of them, which has the seed itself
 * @param predictedMs milliseconds that the texts before it took of `t_max_predict_ms`, which is for all of them
 */
export function requestOf(
  { body, sampling, greedyFirst, maxTokens }: Generation,
  repetition: number,
  predictedMs: number,
): Omit<TextRequest, 'input' | 'turn'> {
  const budget = body.t_max_predict_ms ?? 0;
  const infill = repetition === 0 ? { temperature: 0 } : { minP: Math.max(sampling.minP, alternativeMinP) };
  return {
    maxTokens,
    sampling: { ...sampling, ...(greedyFirst ? infill : {}), seed: sampling.seed + repetition },
    stop: stopList(body.stop),
    minIndent: body.n_indent ?? 0,
    maxMilliseconds: maxGenerationMs,
    lineMilliseconds: budget <= 0 ? 0 : Math.max(1, budget - predictedMs),
    reuseCache: body.cache_prompt ?? true,
    ignoreEnd: body.ignore_eos ?? false,
    logprobs: body.n_probs ? body.n_probs : undefined,
  };
}

/** A piece of a streamed text. */
export function partialAnswer(
  { body }: Generation,
  tokenizer: Tokenizer,
  index: number,
  piece: TextPiece,
): object {
  return {
    ...{ index, content: piece.text, tokens: piece.ids, stop: false, id_slot: body.id_slot ?? -1 },
    ...probabilities(body, tokenizer, piece),
  };
}

/** The whole answer, or a stream's last event, which has no text of its own. */
export function finalAnswer(
  generation: Generation,
  { model, tokenizer, summary }: ReadyModel,
  index: number,
  text: GeneratedText,
): object {
  const { body } = generation;
  const { timings, prompt } = text;
  const streamed = body.stream === true;
  const evaluated = timings.promptTokens - timings.cachedTokens;
  return {
    index,
    content: streamed ? '' : text.text,
    tokens: !streamed && body.return_tokens ? text.ids : [],
    id_slot: body.id_slot ?? -1,
    stop: true,
    model: summary.id,
    tokens_predicted: timings.completionTokens,
    tokens_evaluated: timings.promptTokens,
    // The last token that was chosen has not been run.
    tokens_cached: timings.promptTokens + Math.max(0, timings.completionTokens - 1),
    generation_settings: generationSettings(generation, model.contextLength, summary.id),
    prompt: decodeWithSpecial(tokenizer, prompt),
    has_new_line: text.text.includes('\n'),
    truncated:
      text.finishReason === 'length' &&
      timings.promptTokens + timings.completionTokens >= model.contextLength,
    stop_type: stopType(text),
    stopping_word: text.stoppedBy ?? '',
    timings: {
      cache_n: timings.cachedTokens,
      ...speed('prompt', evaluated, timings.prefillMs),
      ...speed('predicted', timings.completionTokens, timings.decodeMs),
    },
    ...(streamed ? {} : probabilities(body, tokenizer, text)),
  };
}

/** The options as they were used, under llama.cpp's names. */
export function generationSettings(
  { body, sampling, maxTokens }: Generation,
  contextLength: number,
  model: string,
): object {
  return {
    n_ctx: contextLength,
    model,
    n_predict: maxTokens ?? -1,
    max_tokens: maxTokens ?? -1,
    seed: sampling.seed,
    temperature: sampling.temperature,
    top_k: sampling.topK,
    top_p: sampling.topP,
    min_p: sampling.minP,
    repeat_penalty: sampling.repetitionPenalty,
    repeat_last_n: 64,
    stop: stopList(body.stop),
    stream: body.stream ?? false,
    n_probs: body.n_probs ?? 0,
    n_keep: 0,
    n_indent: body.n_indent ?? 0,
    t_max_predict_ms: body.t_max_predict_ms ?? 0,
    ignore_eos: body.ignore_eos ?? false,
    cache_prompt: body.cache_prompt ?? true,
    samplers: body.samplers ?? ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'],
  };
}

function stopType({ finishReason, stoppedBy }: GeneratedText): 'eos' | 'word' | 'limit' {
  if (finishReason !== 'stop' || stoppedBy === '') return 'limit';
  return stoppedBy === undefined ? 'eos' : 'word';
}

function speed(name: string, count: number, ms: number): Record<string, number> {
  return {
    [`${name}_n`]: count,
    [`${name}_ms`]: ms,
    [`${name}_per_token_ms`]: count > 0 ? ms / count : 0,
    [`${name}_per_second`]: ms > 0 ? (count * 1000) / ms : 0,
  };
}

function probabilities(body: GenerationBody, tokenizer: Tokenizer, { logprobs }: TextPiece): object {
  if (!body.n_probs) return {};
  const named = ({ id, logprob }: TokenLogprob): object => ({
    ...{ id, token: tokenizer.tokenText(id), bytes: [...tokenizer.tokenBytes(id)], logprob },
  });
  return {
    completion_probabilities: logprobs.map(({ top, ...chosen }) => ({
      ...named(chosen),
      top_logprobs: top.map(named),
    })),
  };
}
