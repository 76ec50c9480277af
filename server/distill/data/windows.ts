import type { InfillTokens, Tokenizer } from '../../tokenizer/tokenizer.ts';
import { OneBitError } from '../../protocol/error.ts';
import type { Document } from './document.ts';
import { infillIds, splitForInfill, type InfillSplit } from './infill-transform.ts';
import { Random, type RandomState } from '../random.ts';

export interface WindowOptions {
  /** Positions of a window; each comes with one more token, the last position's label. */
  window: number;
  seed: number;
  /** Share of the pieces that are rearranged for infilling; 0 where the tokenizer has no infill tokens. */
  infillRate: number;
  infillSplit: InfillSplit;
  /** Documents read side by side (default 64, at most as many as there are). */
  lanes?: number;
}

/** Where a stream stands: enough to go on as if it had never stopped. */
export interface WindowState {
  epoch: number;
  /** Documents of this epoch's order that have been opened. */
  taken: number;
  /** The lane that gives the next window. */
  turn: number;
  lanes: { epoch: number; place: number; offset: number; pending: number[] }[];
  random: RandomState;
}

/** What a trainer draws its windows from. */
export type WindowSource = Pick<WindowStream, 'next' | 'state' | 'restore'>;

/** One reading position. Tokens of its document from `offset` on are still unused. */
interface Lane {
  /** Epoch and place in its order of the document in hand; place −1 before the first. */
  epoch: number;
  place: number;
  offset: number;
  document: number[];
  pending: number[];
}

/** Shortest piece worth rearranging, and the shortest gap in a window that is filled with one. */
const shortestInfill = 24;
const defaultLanes = 64;

/**
 * An endless stream of training windows: every epoch the documents in a new random order, each ended
 * by the end token, laid end to end and cut into windows that overlap by one token (the last label of
 * one is the first input of the next).
 *
 * Many documents are read side by side, each in a lane of its own, and the lanes take turns: otherwise
 * a long document would fill whole batches, whose gradients then say the same thing over and over.
 *
 * Infilling is done on pieces cut to fit the window ("context level" in the paper, section 3), so that
 * prefix, suffix and middle always stand in one window: a piece is a document or as much of it as the
 * window has room for.
 */
export class WindowStream {
  private epoch = 0;
  private order: Uint32Array;
  private taken = 0;
  private turn = 0;
  private lanes: Lane[];
  private readonly random: Random;
  private readonly infill: InfillTokens | undefined;

  constructor(
    private readonly documents: readonly Document[],
    private readonly tokenizer: Tokenizer,
    private readonly options: WindowOptions,
  ) {
    if (documents.length === 0) throw new OneBitError('bad-value', 'There is no text to train on.');
    if (options.infillRate > 0 && tokenizer.infill === undefined) {
      throw new OneBitError(
        'unsupported',
        'The tokenizer has no fill-in-the-middle tokens: use an infill rate of 0.',
      );
    }
    this.infill = options.infillRate > 0 ? tokenizer.infill : undefined;
    this.random = new Random(options.seed, 'windows');
    this.order = this.orderOf(0);
    const count = Math.min(options.lanes ?? defaultLanes, documents.length);
    this.lanes = Array.from({ length: count }, () => ({
      epoch: 0,
      place: -1,
      offset: 0,
      document: [],
      pending: [],
    }));
  }

  /** `window + 1` token ids: inputs are all but the last, labels all but the first. */
  next(): Int32Array {
    const { window } = this.options;
    const lane = this.lanes[this.turn] as Lane;
    this.turn = (this.turn + 1) % this.lanes.length;
    // A document may encode to nothing; a whole epoch of such documents would never end.
    for (let idle = 0; lane.pending.length <= window;) {
      const before = lane.pending.length;
      this.appendPiece(lane, window + 1 - before);
      idle = lane.pending.length > before ? 0 : idle + 1;
      if (idle > 2 * this.documents.length) {
        throw new OneBitError('bad-value', 'The text to train on has no tokens.');
      }
    }
    const ids = Int32Array.from(lane.pending.slice(0, window + 1));
    lane.pending = lane.pending.slice(window);
    return ids;
  }

  /** How often the corpus has been gone through, with the fraction of this epoch's documents. */
  epochs(): number {
    return this.epoch + this.taken / this.documents.length;
  }

  state(): WindowState {
    return {
      epoch: this.epoch,
      taken: this.taken,
      turn: this.turn,
      lanes: this.lanes.map(({ epoch, place, offset, pending }) => ({ epoch, place, offset, pending })),
      random: this.random.state(),
    };
  }

  /** Goes to where `state` was taken; the documents and options must be the same. */
  restore(state: WindowState): void {
    this.epoch = state.epoch;
    this.order = this.orderOf(state.epoch);
    this.taken = state.taken;
    this.turn = state.turn;
    const orders = new Map([[state.epoch, this.order]]);
    this.lanes = state.lanes.map(({ epoch, place, offset, pending }) => {
      const order = orders.get(epoch) ?? this.orderOf(epoch);
      orders.set(epoch, order);
      const document = place < 0 ? [] : this.idsOf(order, place);
      return { epoch, place, offset, pending: [...pending], document };
    });
    this.random.restore(state.random);
  }

  private orderOf(epoch: number): Uint32Array {
    return new Random(this.options.seed, `epoch ${epoch}`).permutation(this.documents.length);
  }

  private idsOf(order: Uint32Array, place: number): number[] {
    return this.tokenizer.encode(this.documents[order[place] ?? 0]?.text ?? '');
  }

  private openNextDocument(lane: Lane): void {
    if (this.taken === this.documents.length) {
      this.epoch++;
      this.taken = 0;
      this.order = this.orderOf(this.epoch);
    }
    lane.epoch = this.epoch;
    lane.place = this.taken++;
    lane.document = this.idsOf(this.order, lane.place);
    lane.offset = 0;
  }

  private appendPiece(lane: Lane, room: number): void {
    if (lane.offset >= lane.document.length) this.openNextDocument(lane);
    const left = lane.document.length - lane.offset;
    if (left === 0) return;
    const end = this.tokenizer.eosIds[0];
    if (this.infill !== undefined && end !== undefined && room >= shortestInfill && left >= shortestInfill) {
      if (this.random.uniform() < this.options.infillRate) {
        const ids = lane.document.slice(lane.offset, lane.offset + room - 4);
        const parts = splitForInfill(this.tokenizer.decode(ids), this.options.infillSplit, this.random);
        const rearranged = infillIds(parts, this.tokenizer, this.infill, end, room);
        if (rearranged !== undefined) {
          lane.offset += ids.length;
          lane.pending.push(...rearranged);
          return;
        }
      }
    }
    lane.pending.push(...lane.document.slice(lane.offset, lane.offset + room));
    lane.offset += Math.min(room, left);
    if (lane.offset === lane.document.length && end !== undefined) lane.pending.push(end);
  }
}

/**
 * The first `count` windows of `window + 1` tokens of the documents laid end to end, each ended by the
 * end token, nothing rearranged: what perplexity is measured on. Fewer if the text is shorter; the
 * last one may be short if it is the only one.
 */
export function plainWindows(
  documents: readonly Document[],
  tokenizer: Tokenizer,
  window: number,
  count: number,
): Int32Array[] {
  const end = tokenizer.eosIds[0];
  const windows: Int32Array[] = [];
  let pending: number[] = [];
  for (const document of documents) {
    for (const id of tokenizer.encode(document.text)) pending.push(id);
    if (end !== undefined) pending.push(end);
    let from = 0;
    while (pending.length - from > window && windows.length < count) {
      windows.push(Int32Array.from(pending.slice(from, from + window + 1)));
      from += window;
    }
    if (windows.length === count) return windows;
    pending = pending.slice(from);
  }
  if (windows.length === 0 && pending.length > 1) windows.push(Int32Array.from(pending));
  return windows;
}
