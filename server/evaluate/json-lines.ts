import type { z } from 'zod';
import { OneBitError } from '../protocol/error.ts';

/** One line's value, and where it came from, for messages: `FILE: line 12`. */
export interface LineValue<T> {
  value: T;
  place: string;
}

/** `FILE: line 12`; lines count from 1. */
export function placeOf(path: string, index: number): string {
  return `${path}: line ${index + 1}`;
}

/**
 * The values of a JSON lines text that fit a schema; blank lines are passed over.
 * @param limit values that are read at most
 * @throws bad-file for a line that is not JSON or does not fit, with file, line and field
 */
export function parseJsonLines<T>(
  text: string,
  path: string,
  schema: z.ZodType<T>,
  limit = Infinity,
): LineValue<T>[] {
  const values: LineValue<T>[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (values.length >= limit) break;
    if (line.trim() === '') continue;
    const place = placeOf(path, index);
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch (cause) {
      throw new OneBitError(
        'bad-file',
        `${place} is not JSON: ${(cause as Error).message}. Mend the line or take it out.`,
        { cause },
      );
    }
    const parsed = schema.safeParse(json);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const field = issue?.path.length ? ` field ${issue.path.join('.')}:` : '';
      throw new OneBitError('bad-file', `${place}:${field} ${issue?.message ?? 'not valid'}.`);
    }
    values.push({ value: parsed.data, place });
  }
  return values;
}
