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

/**
 * Byte-pair encoding of one piece of text: merges the pair of the lowest rank until none is left. Takes
 * time in n log n, so that a SentencePiece model can encode a whole file as one piece.
 */
export class PairMerger {
  // An open-addressing table from pairs to merges, which a lookup walks without allocating.
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #merged: Int32Array;
  readonly #rank: Int32Array;
  readonly #mask: number;

  constructor(merges: readonly Merge[]) {
    let size = 16;
    while (size < 2 * merges.length) size *= 2;
    this.#mask = size - 1;
    this.#left = new Int32Array(size).fill(-1);
    this.#right = new Int32Array(size);
    this.#merged = new Int32Array(size);
    this.#rank = new Int32Array(size);
    for (const { left, right, merged, rank } of merges) {
      if (rank >= maxRank) throw new RangeError('too many merges');
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
  }

  /**
   * @param symbols non-negative ids; a negative one merges with nothing and keeps its place
   * @returns what is left, in order
   */
  merge(symbols: Int32Array): Int32Array {
    const n = symbols.length;
    if (n > maxLength) throw new RangeError(`a piece of text has ${n} characters; ${maxLength} is the most`);
    if (n < 2) return symbols;
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
    for (let i = 0; i + 1 < n; i++) consider(i);
    while (heap.size > 0) {
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
    return current.filter((symbol) => symbol !== gone);
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
