import { lineAfter, type Cursor } from './cursor.ts';
import { foreignCloser } from './trim/brackets.ts';
import { placeOf, typedSince, type Place } from './typed-since.ts';

interface Result extends Found {
  place: Place;
}

/** What is known to insert at a place. */
export interface Found {
  /** None: nothing worth showing. */
  texts: readonly string[];
  /** Alternatives were looked for. */
  explored: boolean;
}

/**
 * Recent results, the latest first. One serves again where it was made, and, while what is typed is what it says,
 * further on: what was typed is then taken off. Going back (undo, deleting) finds it again, too.
 */
export class RecentResults {
  private readonly results: Result[] = [];

  constructor(private readonly limit = 64) {}

  /** Keeps what is to be inserted at a place, instead of what was known there. */
  add(cursor: Cursor, { texts, explored }: Found): void {
    const same = this.results.findIndex(({ place }) => typedSince(place, cursor) === '');
    if (same >= 0) this.results.splice(same, 1);
    this.results.unshift({ place: placeOf(cursor), texts: [...texts], explored });
    if (this.results.length > this.limit) this.results.pop();
  }

  find(cursor: Cursor): Found | undefined {
    for (const [index, result] of this.results.entries()) {
      const found = restOf(result, cursor);
      if (found === undefined) continue;
      this.results.splice(index, 1);
      this.results.unshift(result);
      return found;
    }
    return undefined;
  }

  clear(): void {
    this.results.length = 0;
  }
}

function restOf({ place, texts, explored }: Result, cursor: Cursor): Found | undefined {
  const typed = typedSince(place, cursor);
  if (typed === undefined) return undefined;
  if (typed === '') return { texts, explored };
  const left = texts.flatMap((text) => restOfText(text, typed, cursor) ?? []);
  return left.length === 0 ? undefined : { texts: [...new Set(left)], explored };
}

/**
 * What is left of `text` after its beginning has been typed; undefined where something else was typed or nothing is
 * left. Brackets that the editor closed meanwhile are left out.
 */
export function restOfText(text: string, typed: string, cursor: Cursor): string | undefined {
  if (!text.startsWith(typed)) return undefined;
  const rest = text.slice(typed.length);
  const inserted = rest.slice(0, foreignCloser(rest, lineAfter(cursor)));
  return inserted.trim() === '' ? undefined : inserted;
}
