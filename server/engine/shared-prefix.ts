import { isBulk, type Turn } from './request-queue.ts';

/** Fewer tokens than this run sooner than it takes to look where they are. */
const leastCopied = 8;

/** A KV cache and the tokens it holds. */
export interface HeldTokens {
  readonly tokens: readonly number[];
}

/** A request that runs: `history` is its prompt and what came of it, of which its slot holds the first tokens. */
export interface Prefilling {
  readonly request: { readonly turn?: Turn; readonly reuseCache?: boolean };
  readonly slot: HeldTokens;
  readonly history: readonly number[];
}

/** How many tokens a and b have in common from their beginning. */
export function sharedPrefix(a: readonly number[], b: readonly number[]): number {
  const limit = Math.min(a.length, b.length);
  let n = 0;
  while (n < limit && a[n] === b[n]) n++;
  return n;
}

/** Tokens of the request that another cache could give it: its last one always runs, for its logits. */
function sharable({ history, slot }: Prefilling, tokens: readonly number[]): number {
  const shared = Math.min(sharedPrefix(tokens, history), history.length - 1);
  return shared - slot.tokens.length < leastCopied ? 0 : shared;
}

function mayShare({ request, history, slot }: Prefilling): boolean {
  return request.reuseCache !== false && history.length - slot.tokens.length > leastCopied;
}

/** The cache that holds most of what the request has yet to run, and up to which token; undefined if none has enough. */
export function findPrefix<S extends HeldTokens>(
  slots: readonly S[],
  running: Prefilling,
): { slot: S; end: number } | undefined {
  if (!mayShare(running)) return undefined;
  let best: { slot: S; end: number } | undefined;
  for (const slot of slots) {
    const end = (slot as HeldTokens) === running.slot ? 0 : sharable(running, slot.tokens);
    if (end > (best?.end ?? 0)) best = { slot, end };
  }
  return best;
}

/**
 * Those that run now. A request whose next tokens are also those of one that came before it waits until they have run
 * there, and takes them from its cache; an editor does not wait for a bulk request, whose turn may come later.
 */
export function withoutFollowers<R extends Prefilling>(running: readonly R[]): R[] {
  return running.filter((each, place) => {
    if (!mayShare(each)) return true;
    return !running.slice(0, place).some((earlier) => {
      if (isBulk(earlier.request.turn) && !isBulk(each.request.turn)) return false;
      return earlier.slot.tokens.length < sharable(each, earlier.history);
    });
  });
}
