import { isBulk, type Turn } from './request-queue.ts';

/** Prompt tokens of one request that go through the engine in one batch with others' decode steps. */
const prefillBlock = 256;
/** While editors are served, bulk requests take part in one pass of so many. */
const bulkPass = 8;
/**
 * Prompt tokens of all bulk requests together in one pass: while an editor is served, whose next token waits for the
 * pass; where editors work with this model, since one may come at any time and waits for the pass to end; and otherwise.
 */
const bulkPrefill = { beside: 16, between: 64, alone: Infinity } as const;

interface Planned {
  request: { turn?: Turn };
}

export interface PassMember<T> {
  running: T;
  /** How many of its tokens run, one at least. */
  tokens: number;
}

/**
 * Who takes part in the next pass, and with how much. A request that decodes has one token left; bulk requests
 * that find no room for their prompt sit the pass out, the one that has waited longest goes first.
 * @param pass a number that goes up by one each time
 * @param left tokens of a request that have not run yet, one at least
 * @param editorsWork whether any editor's request has used this model
 */
export function planPass<T extends Planned>(
  running: readonly T[],
  pass: number,
  left: (request: T) => number,
  editorsWork: boolean,
): PassMember<T>[] {
  const editors = running.filter(({ request }) => !isBulk(request.turn));
  const members = editors.map((each) => ({ running: each, tokens: Math.min(left(each), prefillBlock) }));
  if (editors.length > 0 && pass % bulkPass !== 0) return members;
  let room: number = bulkPrefill[editors.length > 0 ? 'beside' : editorsWork ? 'between' : 'alone'];
  for (const each of running) {
    if (!isBulk(each.request.turn)) continue;
    const wanted = Math.min(left(each), prefillBlock);
    const tokens = wanted === 1 ? 1 : Math.min(wanted, room);
    if (tokens === 0) continue;
    if (wanted > 1) room -= tokens;
    members.push({ running: each, tokens });
  }
  return members;
}
