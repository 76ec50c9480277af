import { randomInt } from 'node:crypto';
import { z } from '../protocol/schema.ts';

/** Characters of one text. */
const maxText = 1_000_000;
/** Text of a request. */
export const textField = z.string().max(maxText, {
  error: ({ input }) =>
    `has ${(input as string).length} characters, and at most ${maxText} are possible: send less of it`,
});
/** Token ids of one request. */
const maxTokens = 1 << 20;
/** Token ids of a request; the model knows which there are. */
export const tokensField = z.custom<number[]>(isTokens, `must be a list of at most ${maxTokens} token ids`);
/** Stop strings of a request, and characters of one. */
const maxStops = 64;
const maxStop = 200;
/** One stop string, or a list of them. */
export const stopField = z
  .custom<string | string[]>(isStop, {
    error: ({ input }) =>
      `must be text, or a list of at most ${maxStops}, of 1 to ${maxStop} characters each${stopsSent(input)}`,
  })
  .nullish();
/** Texts that one request may ask for. */
export const maxTexts = 16;

function isStop(value: unknown): boolean {
  const one = (stop: unknown): boolean => typeof stop === 'string' && stop !== '' && stop.length <= maxStop;
  return Array.isArray(value) ? value.length <= maxStops && value.every(one) : one(value);
}

/** What was sent where it is over a limit of stop strings. */
function stopsSent(value: unknown): string {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > maxStops) return ` (${list.length} were sent)`;
  const long = list.find((stop) => typeof stop === 'string' && stop.length > maxStop);
  return typeof long === 'string' ? ` (one has ${long.length})` : '';
}

/** A prompt that is none: what may be sent, and the length of the text that is too long, if that is what is wrong. */
export function promptError(kinds: string): { error: (issue: { input?: unknown }) => string } {
  return {
    error: ({ input }) => {
      const texts: unknown[] = Array.isArray(input) ? input.slice(0, maxTexts) : [input];
      const long = texts.map(textOf).find((text) => text !== undefined && text.length > maxText);
      const sent =
        long !== undefined
          ? ` (one has ${long.length})`
          : Array.isArray(input) && input.length > maxTexts && typeof input[0] !== 'number'
            ? ` (${input.length} were sent)`
            : '';
      return `must be ${kinds}, or a list of at most ${maxTexts} of them, of at most ${maxText} characters each${sent}`;
    },
  };
}

function textOf(prompt: unknown): string | undefined {
  if (typeof prompt === 'string') return prompt;
  const inside = typeof prompt === 'object' && prompt !== null && 'prompt_string' in prompt;
  return inside && typeof prompt.prompt_string === 'string' ? prompt.prompt_string : undefined;
}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxText;
}

/** Whether the value is a list of what could be token ids; it may be empty. */
export function isTokens(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= maxTokens &&
    value.every((id) => Number.isSafeInteger(id) && (id as number) >= 0)
  );
}

/** Whether the value is a list of texts and token ids. */
export function isTextAndTokens(value: unknown): value is (string | number)[] {
  return (
    Array.isArray(value) &&
    value.length <= maxTokens &&
    value.every((part) => isText(part) || (Number.isSafeInteger(part) && (part as number) >= 0))
  );
}

/** A field that would change the answer in a way that this server cannot: it may be there only where it changes nothing. */
export function unsupportedField(...neutral: (string | number | boolean)[]): z.ZodOptional<z.ZodUnknown> {
  return z
    .unknown()
    .refine((value) => {
      if (value === null || value === undefined) return true;
      if (typeof value === 'object') return Object.keys(value).length === 0;
      return (neutral as unknown[]).includes(value);
    }, 'not supported by this server: leave it out')
    .optional();
}

export function stopList(value: string | string[] | null | undefined): string[] {
  return typeof value === 'string' ? [value] : (value ?? []);
}

/** A seed for those who give none. */
export function anySeed(): number {
  return randomInt(2 ** 32 - 1);
}
