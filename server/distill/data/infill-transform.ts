import type { InfillTokens, Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { Random } from '../random.ts';

/** A text in three parts: prefix + middle + suffix is the whole text. */
export interface InfillParts {
  prefix: string;
  middle: string;
  suffix: string;
}

/**
 * Where to cut (Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle"):
 * - `character`: two places drawn uniformly over the characters.
 * - `line`: the middle runs from a uniform place to the end of one of the next lines (1 … 4, mostly
 *   few), which is what an editor asks for.
 * - `mixed`: one or the other, evenly.
 */
export type InfillSplit = 'character' | 'line' | 'mixed';

/** Cuts the text. No surrogate pair is split. */
export function splitForInfill(text: string, split: InfillSplit, random: Random): InfillParts {
  const byLine = split === 'line' || (split === 'mixed' && random.uniform() < 0.5);
  let start = random.below(text.length + 1);
  let end: number;
  if (byLine) {
    end = start;
    do {
      const lineEnd = text.indexOf('\n', end === start ? end : end + 1);
      end = lineEnd < 0 ? text.length : lineEnd;
    } while (end < text.length && random.uniform() < 0.35);
  } else {
    end = random.below(text.length + 1);
    if (end < start) [start, end] = [end, start];
  }
  start = wholeCharacter(text, start);
  end = wholeCharacter(text, end);
  return { prefix: text.slice(0, start), middle: text.slice(start, end), suffix: text.slice(end) };
}

/**
 * Token ids `prefix-token P suffix-token S middle-token M end`, at most `room` of them. What does not
 * fit is dropped far from the gap, as a completion prompt does: the suffix's end first, then the
 * prefix's start; a middle that fits alone is never cut. Undefined if even that does not fit.
 */
export function infillIds(
  parts: InfillParts,
  tokenizer: Tokenizer,
  tokens: InfillTokens,
  end: number,
  room: number,
): number[] | undefined {
  const middle = tokenizer.encode(parts.middle);
  let prefix = tokenizer.encode(parts.prefix);
  let suffix = tokenizer.encode(parts.suffix);
  let over = middle.length + prefix.length + suffix.length + 4 - room;
  if (over > 0) {
    const fromSuffix = Math.min(over, suffix.length);
    suffix = suffix.slice(0, suffix.length - fromSuffix);
    over -= fromSuffix;
    if (over > prefix.length) return undefined;
    prefix = prefix.slice(over);
  }
  return [tokens.prefix, ...prefix, tokens.suffix, ...suffix, tokens.middle, ...middle, end];
}

/** The place itself, or one further where it would split a surrogate pair. */
function wholeCharacter(text: string, place: number): number {
  const before = text.charCodeAt(place - 1);
  const after = text.charCodeAt(place);
  return before >= 0xd800 && before < 0xdc00 && after >= 0xdc00 && after < 0xe000 ? place + 1 : place;
}
