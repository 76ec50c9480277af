import { z } from 'zod';
import { OneBitError } from '../protocol/error.ts';
import type { InfillQuestion } from './infilling.ts';
import { parseJsonLines } from './json-lines.ts';
import { readText } from './read-text.ts';

const document = z.object({ text: z.string() });

/** Characters of a line that is asked for, without its indentation: shorter ones are mostly brackets. */
const lengths = { least: 5, most: 200 };

/**
 * Single lines of real code as gaps, the cursor behind their indentation: evenly spread over all lines of a
 * data set that have a word in them.
 * @param path JSON lines with `text`, as `onebit generate` and data sets have it; plain or .gz
 * @param count lines at most
 * @throws not-found, unreadable, unsupported, bad-file naming file, line and field, or for a set without such lines
 */
export async function readCodeLines(path: string, count: number): Promise<InfillQuestion[]> {
  const texts = parseJsonLines(await readText(path), path, document).map(({ value }) => value.text);
  const places = texts.flatMap((text, of) => linesOf(text).map((at) => ({ of, ...at })));
  if (places.length === 0) throw new OneBitError('bad-file', `${path} has no line of code to ask for.`);
  const asked = Math.min(count, places.length);
  return Array.from({ length: asked }, (_, i) => {
    const place = places[Math.floor(((i + 0.5) * places.length) / asked)] as (typeof places)[number];
    const text = texts[place.of] as string;
    return {
      prefix: text.slice(0, place.start),
      suffix: text.slice(place.end),
      expected: text.slice(place.start, place.end).trimEnd(),
    };
  });
}

/** Where the lines with a word begin, behind their indentation, and end. */
function linesOf(text: string): { start: number; end: number }[] {
  return [...text.matchAll(/^[ \t]*(\S[^\r\n]*)/gm)].flatMap(({ 0: whole, 1: line = '', index }) => {
    const { length } = line.trimEnd();
    if (length < lengths.least || length > lengths.most || !/\p{L}{2}/u.test(line)) return [];
    return [{ start: index + whole.length - line.length, end: index + whole.length }];
  });
}
