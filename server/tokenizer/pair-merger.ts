import { finish } from './in-slices.ts';

/** One merge of a BPE: two adjacent symbols become one. */
export interface Merge {
  left: number;
  right: number;
  merged: number;
  /** Lower goes first; between equal ranks, the leftmost pair. */
  rank: number;
}

/** Positions in a text that is merged as one piece; ranks and positions share the 53 bits of a heap key. */
const maxLength = 2 ** 26;
const maxRank = 2 ** 27;
/** Up to so many symbols, looking through all pairs is faster than a heap. */
const shortRun = 24;
/** Between two halts: symbols of short runs, or merges of a long one. */
const stepSize = 1 << 14;

/**
 * Byte-pair encoding of one piece of text: merges the pair of the lowest rank until none is left. Where two
 * neighbours stand side by side in no merge at all, nothing ever merges across them: there the text is cut, and each
 * run is merged for itself. A long run takes time in n log n, so that a SentencePiece model can encode a whole file
 * as one piece.
 */
export class PairMerger {
  // An open-addressing table from pairs to merges, which a lookup walks without allocating.
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #merged: Int32Array;
  readonly #rank: Int32Array;
  readonly #mask: number;
  /** By the hash of two symbols of a text: whether some merge may have them side by side. */
  readonly #neighbours: Uint8Array;
  readonly #run = new Int32Array(shortRun);
  readonly #slots = new Int32Array(shortRun);
  readonly #kept = new Int32Array(shortRun);

  constructor(merges: readonly Merge[]) {
    let size = 16;
    while (size < 2 * merges.length) size *= 2;
    this.#mask = size - 1;
    this.#left = new Int32Array(size).fill(-1);
    this.#right = new Int32Array(size);
    this.#merged = new Int32Array(size);
    this.#rank = new Int32Array(size);
    const parts = new Map<number, Merge>();
    for (const merge of merges) {
      const { left, right, merged, rank } = merge;
      if (rank >= maxRank) throw new RangeError('too many merges');
      // A part of a malformed file may be empty, and a symbol made of itself.
      if (merged !== left && merged !== right) parts.set(merged, merge);
      let slot = this.#hash(left, right);
      while (this.#left[slot] !== -1 && (this.#left[slot] !== left || this.#right[slot] !== right)) {
        slot = (slot + 1) & this.#mask;
      }
      if (this.#left[slot] !== -1 && (this.#rank[slot] as number) <= rank) continue;
      this.#left[slot] = left;
      this.#right[slot] = right;
      this.#merged[slot] = merged;
      this.#rank[slot] = rank;
    }
    this.#neighbours = new Uint8Array(size);
    for (const { left, right } of merges) {
      this.#neighbours[this.#hash(lastOf(left, parts), firstOf(right, parts))] = 1;
    }
  }

  /**
   * @param symbols non-negative ids; a negative one merges with nothing and keeps its place
   * @returns what is left, in order; good until the next call
   */
  merge(symbols: Int32Array): Int32Array {
    const n = symbols.length;
    if (n > shortRun) return finish(this.steps(symbols));
    return this.#kept.subarray(0, this.#mergeShort(symbols, 0, n, this.#kept, 0));
  }

  /** The same with halts, of which the last one is the result: so that whoever runs it can do other things between. */
  *steps(symbols: Int32Array): Generator<undefined, Int32Array> {
    const n = symbols.length;
    const kept = symbols.slice();
    let length = 0;
    let halted = 0;
    for (let from = 0, to = 1; from < n; from = to++) {
      while (to < n && this.#mayMeet(symbols[to - 1] as number, symbols[to] as number)) to++;
      if (to - from === 1) kept[length++] = symbols[from] as number;
      else if (to - from <= shortRun) length = this.#mergeShort(symbols, from, to, kept, length);
      else {
        const run = yield* this.#mergeLong(symbols.subarray(from, to));
        kept.set(run, length);
        length += run.length;
      }
      if (to - halted >= stepSize) {
        halted = to;
        yield;
      }
    }
    return kept.subarray(0, length);
  }

  /** Writes what is left of a run from `at` on. @returns the place behind it */
  #mergeShort(symbols: Int32Array, from: number, to: number, kept: Int32Array, at: number): number {
    const run = this.#run;
    // Of the pair that begins at each place: its slot in the table, or −1.
    const slots = this.#slots;
    let length = to - from;
    for (let i = 0; i < length; i++) {
      run[i] = symbols[from + i] as number;
      slots[i] = i + 1 < length ? this.#find(run[i] as number, symbols[from + i + 1] as number) : -1;
    }
    for (;;) {
      let best = -1;
      let lowest = maxRank;
      for (let i = 0; i + 1 < length; i++) {
        const slot = slots[i] as number;
        if (slot < 0 || (this.#rank[slot] as number) >= lowest) continue;
        lowest = this.#rank[slot] as number;
        best = i;
      }
      if (best < 0) break;
      run[best] = this.#merged[slots[best] as number] as number;
      length--;
      for (let i = best + 1; i < length; i++) {
        run[i] = run[i + 1] as number;
        slots[i] = slots[i + 1] as number;
      }
      slots[best] = best + 1 < length ? this.#find(run[best] as number, run[best + 1] as number) : -1;
      if (best > 0) slots[best - 1] = this.#find(run[best - 1] as number, run[best] as number);
    }
    for (let i = 0; i < length; i++) kept[at++] = run[i] as number;
    return at;
  }

  *#mergeLong(symbols: Int32Array): Generator<undefined, Int32Array> {
    const n = symbols.length;
    if (n > maxLength) throw new RangeError(`a piece of text has ${n} characters; ${maxLength} is the most`);
    const current = symbols.slice();
    const next = new Int32Array(n);
    const previous = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    const gone = -2;
    const heap = new KeyHeap(n);
    const consider = (at: number) => {
      if (at < 0) return;
      const after = next[at] as number;
      if (after >= n) return;
      const slot = this.#find(current[at] as number, current[after] as number);
      if (slot >= 0) heap.push((this.#rank[slot] as number) * maxLength + at);
    };
    for (let i = 0; i + 1 < n; i++) {
      consider(i);
      if (i % stepSize === stepSize - 1) yield;
    }
    for (let turn = 1; heap.size > 0; turn++) {
      if (turn % stepSize === 0) yield;
      const key = heap.pop();
      const rank = Math.floor(key / maxLength);
      const at = key - rank * maxLength;
      const after = next[at] as number;
      if (current[at] === gone || after >= n) continue;
      // A key is stale once its pair has changed; a new pair at the place has put in its own.
      const slot = this.#find(current[at] as number, current[after] as number);
      if (slot < 0 || this.#rank[slot] !== rank) continue;
      current[at] = this.#merged[slot] as number;
      current[after] = gone;
      const following = next[after] as number;
      next[at] = following;
      if (following < n) previous[following] = at;
      consider(previous[at] as number);
      consider(at);
    }
    let length = 0;
    for (let i = 0; i < n; i++) if (current[i] !== gone) current[length++] = current[i] as number;
    return current.subarray(0, length);
  }

  #mayMeet(left: number, right: number): boolean {
    return left >= 0 && right >= 0 && this.#neighbours[this.#hash(left, right)] === 1;
  }

  #hash(left: number, right: number): number {
    const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }

  #find(left: number, right: number): number {
    if (left < 0 || right < 0) return -1;
    let slot = this.#hash(left, right);
    for (;;) {
      const found = this.#left[slot];
      if (found === -1) return -1;
      if (found === left && this.#right[slot] === right) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }
}

/** The symbol of a text that a merged one begins with. */
function firstOf(symbol: number, parts: ReadonlyMap<number, Merge>): number {
  let at = symbol;
  for (let merge = parts.get(at); merge !== undefined; merge = parts.get(at)) at = merge.left;
  return at;
}

/** The symbol of a text that a merged one ends with. */
function lastOf(symbol: number, parts: ReadonlyMap<number, Merge>): number {
  let at = symbol;
  for (let merge = parts.get(at); merge !== undefined; merge = parts.get(at)) at = merge.right;
  return at;
}

/** A binary heap of numbers, the smallest first. */
class KeyHeap {
  #keys: Float64Array;
  size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(Math.max(16, capacity));
  }

  push(key: number): void {
    if (this.size === this.#keys.length) {
      const larger = new Float64Array(2 * this.size);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    const keys = this.#keys;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = keys[parent] as number;
      if (above <= key) break;
      keys[at] = above;
      at = parent;
    }
    keys[at] = key;
  }

  pop(): number {
    const keys = this.#keys;
    const top = keys[0] as number;
    const last = keys[--this.size] as number;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && (keys[child + 1] as number) < (keys[child] as number)) child++;
      if ((keys[child] as number) >= last) break;
      keys[at] = keys[child] as number;
      at = child;
    }
    keys[at] = last;
    return top;
  }
}
