import { OneBitError } from '../protocol/error.ts';

/** Whose turn a request is. Absent: nobody else is served before it. */
export interface Turn {
  /** Somebody waits at a keyboard (`editor`), or a program that takes what is left (`bulk`). */
  priority: 'editor' | 'bulk';
  /** Different clients take turns; an editor's KV cache is given up for its own next request first. */
  client: string;
}

interface Queued {
  request: { turn?: Turn };
}

/**
 * Requests that wait for a KV cache: editors' first, then bulk ones; among either that of the client with the fewest
 * running, in the order in which they came. Editors and bulk clients have a queue's length each, and one client half
 * of it, so that nobody is refused because of somebody else's flood.
 */
export class RequestQueue<T extends Queued> {
  readonly #limit: number;
  #waiting: T[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** @throws busy */
  check({ request: { turn } }: Queued): void {
    const bulk = isBulk(turn);
    const same = this.#waiting.filter((other) => isBulk(other.request.turn) === bulk);
    if (same.length >= this.#limit) {
      throw new OneBitError(
        'busy',
        `${this.#limit} requests are waiting already, the most possible: try again later.`,
      );
    }
    const own = same.filter((other) => isOfSame(other, { request: { turn } })).length;
    if (own >= Math.ceil(this.#limit / 2)) {
      throw new OneBitError(
        'busy',
        `${own} of your requests are waiting already, the most possible for one client: try again later.`,
      );
    }
  }

  push(item: T): void {
    this.#waiting.push(item);
  }

  remove(item: T): void {
    this.#waiting = this.#waiting.filter((other) => other !== item);
  }

  /** Takes out all that the condition holds for. */
  take(condition: (item: T) => boolean): T[] {
    const taken = this.#waiting.filter(condition);
    if (taken.length > 0) this.#waiting = this.#waiting.filter((item) => !condition(item));
    return taken;
  }

  /** The next request, which stays in the queue. @param bulkMay whether a bulk request may begin now */
  next(running: readonly Queued[], bulkMay: boolean): T | undefined {
    const editors = this.#waiting.filter(({ request }) => !isBulk(request.turn));
    if (editors.length === 0 && !bulkMay) return undefined;
    const runs = (item: Queued): number => running.filter((other) => isOfSame(other, item)).length;
    return (editors.length > 0 ? editors : this.#waiting).reduce<T | undefined>(
      (best, item) => (best === undefined || runs(item) < runs(best) ? item : best),
      undefined,
    );
  }
}

/** Whether both requests are known to come from the same client. */
function isOfSame({ request: { turn: a } }: Queued, { request: { turn: b } }: Queued): boolean {
  return a !== undefined && a.priority === b?.priority && a.client === b.client;
}

export function isBulk(turn: Turn | undefined): boolean {
  return turn?.priority === 'bulk';
}
