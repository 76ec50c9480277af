import { randomInt } from 'node:crypto';
import { z } from '../protocol/schema.ts';

/** Characters of one text. */
const maxText = 1_000_000;
/** Text of a request. */
export const textField = z.string().max(maxText);
/** Token ids of a request; the model knows which there are. */
export const tokensField = z.custom<number[]>(isTokens, 'must be a list of token ids');
/** One stop string, or a list of them. */
export const stopField = z
  .custom<string | string[]>(isStop, 'must be text, or a list of at most 64, of 1 to 200 characters each')
  .nullish();
/** Texts that one request may ask for. */
export const maxTexts = 16;

/** Token ids of one request. */
const maxTokens = 1 << 20;

function isStop(value: unknown): boolean {
  const one = (stop: unknown): boolean => typeof stop === 'string' && stop !== '' && stop.length <= 200;
  return Array.isArray(value) ? value.length <= 64 && value.every(one) : one(value);
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
