import type { GenerateResult, LanguageModel, SamplingOptions } from '../engine/language-model.ts';
import type { Turn } from '../engine/request-queue.ts';
import type { ChosenLogprob } from '../engine/token-logprobs.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import type { ModelSummary } from '../protocol/model.ts';
import type { ChatMessage } from '../tokenizer/chat-template.ts';
import { buildingPrompt, LeadSkipper, type Gap, type Prompt } from '../tokenizer/completion-prompt.ts';
import { inSlices } from '../tokenizer/in-slices.ts';
import { encodingWithSpecial } from '../tokenizer/special-names.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { withText } from './long-texts.ts';
import type { Metrics } from './metrics.ts';
import type { ModelHost } from './model-host.ts';

export interface TextServices {
  host: ModelHost;
  metrics: Metrics;
}

/** What is to be continued. */
export type TextInput =
  /** Text around a gap. Where the model cannot use the suffix it is left out, unless it must be used. */
  | { gap: Gap; mustInfill: boolean }
  /** Text, in which the names of special tokens stand for them, and token ids. Nothing of it is ever left out. */
  | { parts: readonly (string | number)[] }
  /** A conversation, for the model's chat template. */
  | { messages: readonly ChatMessage[] };

export interface TextRequest {
  input: TextInput;
  /** undefined: until the context is full. */
  maxTokens: number | undefined;
  sampling: SamplingOptions;
  stop: readonly string[];
  turn: Turn;
  singleLine?: boolean;
  minIndent?: number;
  maxMilliseconds?: number;
  lineMilliseconds?: number;
  reuseCache?: boolean;
  /** End tokens are not chosen. */
  ignoreEnd?: boolean;
  /** How many of the most likely tokens to name with each; undefined: no log-probabilities at all. */
  logprobs?: number;
}

/** Some text with the tokens that it came from. Tokens without text yet come with the text that they help to make. */
export interface TextPiece {
  text: string;
  ids: number[];
  logprobs: ChosenLogprob[];
}

export interface GeneratedText
  extends TextPiece, Pick<GenerateResult, 'finishReason' | 'stoppedBy' | 'timings'> {
  /** The prompt's tokens. */
  prompt: number[];
  /** Whether the suffix is in it. */
  infilled: boolean;
}

/** A model that is in memory, and stays there for as long as it is worked with. */
export interface ReadyModel {
  model: LanguageModel;
  tokenizer: Tokenizer;
  summary: ModelSummary;
}

/** Milliseconds of generation after which any request of a program or a chat ends, with the text so far. */
export const maxGenerationMs = 600_000;

/** Longer texts than this many characters a token are more than the context holds, without counting. */
const charactersPerToken = 64;

/**
 * Works with the host's model, which is loaded first if need be.
 * @throws busy (too many wait), no-model, no-tokenizer, what opening a model throws, cancelled, what `work` throws
 */
export async function withModel<T>(
  { host, metrics }: TextServices,
  work: (ready: ReadyModel) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const used = host.use(async (model, summary) => {
    const { tokenizer } = model;
    if (tokenizer === undefined) {
      throw new OneBitError(
        'no-tokenizer',
        `${summary.path} has no tokenizer: put its tokenizer.json (or tokenizer.model) there and load it again.`,
      );
    }
    return work({ model, tokenizer, summary });
  }, signal);
  return used.catch((error: unknown) => {
    metrics.failed(asOneBitError(error).code);
    throw error;
  });
}

/**
 * Runs one request. Aborting ends it within one token, with the text so far and finishReason `cancelled`.
 * @param onPiece each piece of text as it comes; together they are the result's text, ids and logprobs
 * While the prompt is still made of it, it throws `cancelled`.
 * @throws busy (queue full), unsupported (mustInfill, no chat template), bad-request, cancelled
 */
export async function generateText(
  { model, tokenizer, summary }: ReadyModel,
  request: TextRequest,
  metrics: Metrics,
  onPiece: (piece: TextPiece) => void,
  signal: AbortSignal,
): Promise<GeneratedText> {
  const prompt = await promptOf({ model, tokenizer, summary }, request, signal);
  const ends = [...model.config.eosTokenIds, ...tokenizer.eosIds, ...prompt.stopIds];
  const lead = new LeadSkipper(prompt.lead);
  const whole: TextPiece = { text: '', ids: [], logprobs: [] };
  let held: TextPiece = { text: '', ids: [], logprobs: [] };
  const flush = (): void => {
    whole.text += held.text;
    whole.ids.push(...held.ids);
    whole.logprobs.push(...held.logprobs);
    if (held.text !== '' || held.ids.length > 0) onPiece(held);
    held = { text: '', ids: [], logprobs: [] };
  };
  const result = await model.generate(
    {
      prompt: prompt.ids,
      maxTokens: prompt.maxTokens,
      sampling: request.sampling,
      // A stop string that is a special token's name never appears as text.
      stop: request.stop.filter((stop) => !tokenizer.special.has(stop)),
      stopIds: [...ends, ...request.stop.flatMap((stop) => tokenizer.special.get(stop) ?? [])],
      minTokens: request.ignoreEnd === true ? Infinity : 0,
      singleLine: request.singleLine,
      minIndent: request.minIndent,
      maxMilliseconds: request.maxMilliseconds,
      lineMilliseconds: request.lineMilliseconds,
      reuseCache: request.reuseCache,
      logprobs: request.logprobs,
      turn: request.turn,
    },
    ({ ids, text, logprobs }) => {
      if (signal.aborted) metrics.unwanted(ids.length);
      held.text += lead.push(text);
      held.ids.push(...ids);
      held.logprobs.push(...logprobs);
      if (held.text !== '') flush();
    },
    signal,
  );
  // What is still held belongs to the stop string, or has no text.
  if (result.stoppedBy === undefined) flush();
  metrics.completed(result);
  const { finishReason, stoppedBy, timings } = result;
  return { ...whole, finishReason, stoppedBy, timings, prompt: prompt.ids, infilled: prompt.infilled };
}

/** The tokens of a request's prompt. @throws unsupported, bad-request, cancelled */
async function promptOf(
  { model, tokenizer, summary }: ReadyModel,
  { input, maxTokens = model.contextLength }: TextRequest,
  signal: AbortSignal,
): Promise<Prompt> {
  if ('gap' in input) {
    if (input.mustInfill && tokenizer.infill === undefined) {
      throw new OneBitError(
        'unsupported',
        `${summary.id} does not fill in the middle: leave the suffix out, or load a model that has the tokens for it.`,
      );
    }
    return inSlices(buildingPrompt(tokenizer, input.gap, maxTokens, model.contextLength), signal);
  }
  const parts = 'parts' in input ? input.parts : [renderChat({ model, summary }, input.messages)];
  const characters = parts.reduce<number>(
    (sum, part) => sum + (typeof part === 'string' ? part.length : 0),
    0,
  );
  if (characters > charactersPerToken * model.contextLength) {
    throw new OneBitError(
      'bad-request',
      `The prompt has ${characters} characters, more than the context of ${model.contextLength} tokens holds: shorten it.`,
    );
  }
  const encode = () => inSlices(encodingParts(tokenizer, parts), signal);
  const ids = await withText(characters, encode, signal);
  // A chat template puts BOS where it belongs; of token ids the client knows.
  const { bosId } = tokenizer;
  if ('parts' in input && typeof parts[0] === 'string' && bosId !== undefined && ids[0] !== bosId)
    ids.unshift(bosId);
  return { ids, lead: '', infilled: false, maxTokens, stopIds: [] };
}

function* encodingParts(
  tokenizer: Tokenizer,
  parts: readonly (string | number)[],
): Generator<undefined, number[]> {
  const ids: number[] = [];
  for (const part of parts) {
    if (typeof part === 'number') ids.push(part);
    else for (const id of yield* encodingWithSpecial(tokenizer, part)) ids.push(id);
  }
  return ids;
}

/** A conversation as its model wants it written, and the assistant's turn begun if `open`. @throws unsupported (no template), bad-request */
export function renderChat(
  { model, summary }: Pick<ReadyModel, 'model' | 'summary'>,
  messages: readonly ChatMessage[],
  open = true,
): string {
  if (model.chatTemplate === undefined) {
    throw new OneBitError(
      'unsupported',
      `${summary.id} has no chat template: it continues text and does not chat. Use /v1/completions, or load a chat model.`,
    );
  }
  return model.chatTemplate.render(messages, open);
}
