import type { CompletionTimings, FinishReason } from '../protocol/completion.ts';
import type { MemoryReport } from '../protocol/memory.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChatTemplate } from '../tokenizer/chat-template.ts';
import type { ModelConfig } from '../checkpoint/model-config.ts';
import type { Turn } from './request-queue.ts';
import type { ChosenLogprob } from './token-logprobs.ts';

export interface SamplingOptions {
  /** 0 = greedy. */
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repetitionPenalty: number;
  /** The first n tokens are the most likely ones, whatever the temperature. Default 0. */
  greedyTokens?: number;
  seed?: number;
}

export interface GenerateRequest {
  prompt: number[];
  maxTokens: number;
  sampling: SamplingOptions;
  stop: string[];
  /** Token ids that end the text; the model's end tokens if absent. */
  stopIds?: number[];
  /** None of the end tokens is chosen before so many others. Default 0. */
  minTokens?: number;
  singleLine?: boolean;
  /** Stop before a line with text that is indented less, in spaces and tabs; blank lines do not count. Default 0. */
  minIndent?: number;
  maxMilliseconds?: number;
  /** Milliseconds from the first token on after which it ends, once it has got beyond a line's end. Default 0: no limit. */
  lineMilliseconds?: number;
  /** False: the whole prompt runs, whatever the KV caches hold. Default true. */
  reuseCache?: boolean;
  /** Log-probabilities of the tokens are wanted, with so many of the most likely ones. */
  logprobs?: number;
  /** Absent: before all that have one. */
  turn?: Turn;
}

/** Tokens as they come; `text` is what they add (stop strings and what follows them are held back). */
export interface GenerateEvent {
  ids: number[];
  text: string;
  /** One for each id, where asked for. */
  logprobs: ChosenLogprob[];
}

export interface GenerateResult {
  ids: number[];
  text: string;
  finishReason: FinishReason;
  /** With `stop`: the stop string; empty where a line's end or indentation ended it, absent where an end token did. */
  stoppedBy?: string;
  timings: CompletionTimings;
}

/** An engine with its tokenizer and scheduler: continuous batching, prefix reuse, sampling, stops. */
export interface LanguageModel {
  readonly path: string;
  readonly config: ModelConfig;
  readonly contextLength: number;
  readonly tokenizer: Tokenizer | undefined;
  /** How the model wants a conversation written; undefined for models that only continue text. */
  readonly chatTemplate: ChatTemplate | undefined;
  readonly active: number;
  readonly queued: number;
  memory(): MemoryReport;
  /** Aborting ends it within one token with finishReason `cancelled`. */
  generate(
    request: GenerateRequest,
    onEvent?: (event: GenerateEvent) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult>;
  dispose(): Promise<void>;
}
