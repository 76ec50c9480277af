import type { ChatParams, ChatTurn } from '../../server/protocol/chat.ts';
import { OneBitError } from '../../server/protocol/error.ts';

/** A message as VS Code hands it over; its parts are classes of VS Code, told apart by what they have. */
export interface EditorMessage {
  /** 1: the user, 2: the assistant, 3 (proposed): the system. */
  readonly role: number;
  readonly content: readonly unknown[];
}

const roles: Readonly<Record<number, ChatTurn['role']>> = { 1: 'user', 2: 'assistant', 3: 'system' };
/** Marks for other vendors' servers that some clients put among the parts; they say nothing. */
const ignoredTypes: readonly unknown[] = ['cache_control'];

/**
 * The messages as the server takes them: the text parts of each joined, messages without text left out.
 * @throws OneBitError `unsupported` for what is no text (images, tools), `bad-request` where no text is left
 */
export function chatTurns(messages: readonly EditorMessage[]): ChatTurn[] {
  const turns = messages.flatMap(({ role, content }): ChatTurn[] => {
    const text = content.map(textOf).join('');
    return text === '' ? [] : [{ role: roles[role] ?? 'user', content: text }];
  });
  if (turns.length === 0) throw new OneBitError('bad-request', 'The chat has no text to answer.');
  return turns;
}

function textOf(part: unknown): string {
  if (typeof part === 'object' && part !== null) {
    if ('value' in part && typeof part.value === 'string') return part.value;
    if ('mimeType' in part && ignoredTypes.includes(part.mimeType)) return '';
  }
  throw new OneBitError('unsupported', 'OneBit chats about text only: no images, no tools.');
}

/** What of VS Code's free-form model options the server knows, by OpenAI's names; the rest is ignored. */
export function chatSampling(
  options: Readonly<Record<string, unknown>> = {},
): Pick<ChatParams, 'temperature' | 'topP' | 'seed' | 'maxTokens' | 'stop'> {
  const number = (...names: string[]): number | undefined =>
    names.map((name) => options[name]).find((value) => typeof value === 'number');
  const { stop } = options;
  const stops = (Array.isArray(stop) ? stop : [stop]).filter((each) => typeof each === 'string');
  return {
    temperature: number('temperature'),
    topP: number('top_p', 'topP'),
    seed: number('seed'),
    maxTokens: number('max_completion_tokens', 'max_tokens', 'maxTokens'),
    ...(stops.length === 0 ? {} : { stop: stops }),
  };
}
