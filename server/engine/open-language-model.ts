import { OneBitError } from '../protocol/error.ts';
import { nativeAddon } from '../native/addon.ts';
import { readChatTemplate } from '../tokenizer/chat-template.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { EngineOptions } from './engine.ts';
import type { LanguageModel } from './language-model.ts';
import { openEngine, type OpenControl } from './open-engine.ts';
import { Scheduler } from './scheduler.ts';

export interface LanguageModelOptions extends EngineOptions {
  /** Requests that may wait; one more is refused as busy. */
  queue?: number;
  /** A tokenizer file or folder; the model's own if absent. */
  tokenizer?: string;
}

/** Requests that run at once where nothing else is said. */
export const defaultSequences = 4;
const defaultQueue = 64;

/**
 * Loads a checkpoint of any supported format with its tokenizer, ready to generate. A model without a
 * tokenizer still runs on token ids.
 * @throws what openCheckpoint, openEngine and loadTokenizer throw; cancelled.
 */
export async function openLanguageModel(
  path: string,
  options: LanguageModelOptions = {},
  control: OpenControl = {},
): Promise<LanguageModel> {
  const sequences = options.sequences ?? defaultSequences;
  const tokenizer = await tokenizerOf(options.tokenizer ?? path, options.tokenizer !== undefined);
  const chatTemplate = await readChatTemplate(path);
  const engine = await openEngine(path, { ...options, sequences }, control);
  const scheduler = new Scheduler(engine, tokenizer, { sequences, queue: options.queue ?? defaultQueue });
  const ends = new Set([...engine.config.eosTokenIds, ...(tokenizer?.eosIds ?? [])]);
  return {
    path,
    config: engine.config,
    contextLength: engine.contextLength,
    tokenizer,
    chatTemplate,
    get active() {
      return scheduler.active;
    },
    get queued() {
      return scheduler.queued;
    },
    memory: () => engine.memory(),
    generate: async (request, onEvent, signal) =>
      scheduler.submit({ ...request, stopIds: request.stopIds ?? [...ends] }, onEvent, signal),
    dispose: async () => {
      await scheduler.dispose();
      await engine.dispose();
      nativeAddon()?.trimMemory();
    },
  };
}

async function tokenizerOf(path: string, required: boolean): Promise<Tokenizer | undefined> {
  try {
    return await loadTokenizer(path);
  } catch (error) {
    if (!required && error instanceof OneBitError && error.code === 'no-tokenizer') return undefined;
    throw error;
  }
}
