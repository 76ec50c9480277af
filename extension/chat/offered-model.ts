import type { ModelStatus } from '../../server/protocol/model.ts';

/** A model as the chat's list of models shows it, as VS Code wants it described. */
export interface OfferedModel {
  /** The server's name of it. */
  readonly id: string;
  readonly name: string;
  readonly family: string;
  readonly version: string;
  readonly detail: string;
  readonly tooltip: string;
  readonly maxInputTokens: number;
  readonly maxOutputTokens: number;
  readonly capabilities: { readonly imageInput: false; readonly toolCalling: false };
}

/** What is kept of a model that was offered, so that it is offered before its server runs again. */
export interface KnownChatModel {
  id: string;
  name: string;
  path: string;
  contextLength: number;
}

/** Answers are planned to take a quarter of the context, and this many tokens at most. */
const longestAnswer = 4096;

/**
 * The model that may be chatted with: the one that completes, if it has a chat template. Another model of the server's
 * list is not offered, because a chat with it would change the model that completes in all windows.
 * @param status undefined while there is no connection
 * @param known what was offered last; stands where the server is not there, or has not loaded that model yet
 * @returns undefined where there is none, or its context is not known yet
 */
export function chatModel(
  status: ModelStatus | undefined,
  known: KnownChatModel | undefined,
): KnownChatModel | undefined {
  if (status === undefined || status.state === 'none') return known;
  const { model, memory } = status;
  if (model === undefined || !model.chat || status.state === 'failed') return undefined;
  const contextLength = memory?.contextLength ?? (known?.id === model.id ? known.contextLength : undefined);
  if (contextLength === undefined) return undefined;
  return { id: model.id, name: model.name, path: model.path, contextLength };
}

/** @param model as `chatModel` gives it */
export function offeredModel({ id, name, path, contextLength }: KnownChatModel): OfferedModel {
  const maxOutputTokens = Math.max(1, Math.min(longestAnswer, Math.floor(contextLength / 4)));
  return {
    ...{ id, name, maxOutputTokens },
    family: 'onebit',
    version: '1',
    detail: 'on this machine',
    tooltip: `${path}\nOneBit runs it on this machine, ${contextLength} tokens of context.`,
    maxInputTokens: contextLength - maxOutputTokens,
    capabilities: { imageInput: false, toolCalling: false },
  };
}
