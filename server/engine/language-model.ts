import type { CompletionTimings, FinishReason } from '../protocol/completion.ts';
import type { MemoryReport } from '../protocol/memory.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ModelConfig } from '../checkpoint/model-config.ts';

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
  maxMilliseconds?: number;
}

/** Tokens as they come; `text` is what they add (stop strings and what follows them are held back). */
export interface GenerateEvent {
  ids: number[];
  text: string;
}

export interface GenerateResult {
  ids: number[];
  text: string;
  finishReason: FinishReason;
  timings: CompletionTimings;
}

/** An engine with its tokenizer and scheduler: continuous batching, prefix reuse, sampling, stops. */
export interface LanguageModel {
  readonly path: string;
  readonly config: ModelConfig;
  readonly contextLength: number;
  readonly tokenizer: Tokenizer | undefined;
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
