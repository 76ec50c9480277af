import type { Cursor } from './cursor.ts';

/** Text before and after the cursor that is compared, in UTF-16 units. */
const comparedBefore = 1000;
const comparedAfter = 300;
/** Who has typed more than this does something else. */
const longest = 4000;

/** What of a cursor must be known to see later what has been typed there. */
export type Place = Pick<Cursor, 'document' | 'offset' | 'before' | 'after'>;

/** The part of a cursor that `typedSince` looks at. */
export function placeOf({ document, offset, before, after }: Cursor): Place {
  return { document, offset, before: before.slice(-comparedBefore), after: after.slice(0, comparedAfter) };
}

/**
 * The text that was inserted between two cursors of one document; `''` for the same place. Undefined where something
 * else has changed. Brackets and quotes that the editor has closed by itself right at the later cursor do not count.
 */
export function typedSince(from: Place, to: Place): string | undefined {
  const length = to.offset - from.offset;
  if (from.document !== to.document || length < 0 || length > longest || length > to.before.length) {
    return undefined;
  }
  const kept = to.before.slice(0, to.before.length - length);
  const compared = Math.min(kept.length, from.before.length, comparedBefore);
  if (kept.slice(kept.length - compared) !== from.before.slice(from.before.length - compared))
    return undefined;
  if (compared === 0 && from.offset > 0) return undefined;
  return sameAfter(from.after, to.after, length > 0) ? to.before.slice(to.before.length - length) : undefined;
}

function sameAfter(from: string, to: string, typed: boolean): boolean {
  const closed = typed ? (/^[)\]}"'`]{0,3}/.exec(to)?.[0].length ?? 0) : 0;
  const head = from.slice(0, comparedAfter);
  for (let skipped = 0; skipped <= closed; skipped++) {
    const rest = to.slice(skipped, skipped + comparedAfter);
    // What was kept may be cut off earlier than what is there now, and the other way round.
    const length =
      head.length < comparedAfter && rest.length < comparedAfter
        ? comparedAfter
        : Math.min(head.length, rest.length);
    if (head.slice(0, length) === rest.slice(0, length)) return true;
  }
  return false;
}
