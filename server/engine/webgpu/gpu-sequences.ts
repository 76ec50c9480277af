import { OneBitError } from '../../protocol/error.ts';
import type { Sequence } from '../engine.ts';
import type { Piece } from './buffer-plan.ts';

/** A sequence's place in the KV cache: its bank, and which of the bank's sequences it is. */
export class GpuSequence implements Sequence {
  length = 0;

  constructor(
    readonly bank: number,
    readonly slot: number,
    private readonly onDispose: (sequence: GpuSequence) => void,
  ) {}

  truncate(n: number): void {
    this.length = Math.min(this.length, Math.max(0, n));
  }

  dispose(): void {
    this.onDispose(this);
  }
}

/** The places of the KV cache, which was made at load for so many sequences. */
export class GpuSequences {
  private readonly free: { bank: number; slot: number }[];
  private readonly open_ = new Set<GpuSequence>();

  constructor(banks: Piece[]) {
    this.free = banks.flatMap(({ count }, bank) =>
      Array.from({ length: count }, (_, slot) => ({ bank, slot })),
    );
  }

  /** @throws OneBitError busy when all places are taken */
  open(): GpuSequence {
    const place = this.free.shift();
    if (place === undefined) {
      throw new OneBitError('busy', `All ${this.open_.size} sequences of this engine are in use.`);
    }
    const sequence = new GpuSequence(place.bank, place.slot, (closed) => {
      if (this.open_.delete(closed)) this.free.unshift({ bank: closed.bank, slot: closed.slot });
    });
    this.open_.add(sequence);
    return sequence;
  }

  own(sequence: Sequence): GpuSequence {
    if (sequence instanceof GpuSequence && this.open_.has(sequence)) return sequence;
    throw new OneBitError('internal', 'The sequence is disposed or belongs to another engine.');
  }

  clear(): void {
    for (const sequence of [...this.open_]) sequence.dispose();
  }
}
