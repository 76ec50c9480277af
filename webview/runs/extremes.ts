/** Values in a block of the lowest level. Smaller blocks take more memory, larger ones more reading at the ends. */
const block = 16;

/**
 * The smallest and the largest of any stretch of values in O(log n): made once, a pyramid whose levels hold the extremes
 * of blocks of 16, 32, 64, … values. NaN counts as nothing. It takes n / 4 floats of memory beside the values.
 */
export class Extremes {
  private readonly lows: Float64Array[] = [];
  private readonly highs: Float64Array[] = [];
  low = Infinity;
  high = -Infinity;

  constructor(private readonly values: ArrayLike<number>) {
    const blocks = Math.ceil(values.length / block);
    const [lows, highs] = [new Float64Array(blocks), new Float64Array(blocks)];
    for (let b = 0; b < blocks; b++) {
      this.clear();
      this.scan(b * block, Math.min(values.length, (b + 1) * block));
      [lows[b], highs[b]] = [this.low, this.high];
    }
    this.lows.push(lows);
    this.highs.push(highs);
    for (let level = 1, count = blocks >> 1; count > 0; level++, count >>= 1) this.addLevel(level, count);
  }

  /** Leaves the extremes of the values from index `from` to before `to` in `low` and `high`; `low > high`: none. */
  read(from: number, to: number): void {
    this.clear();
    let first = Math.ceil(from / block);
    let end = Math.floor(to / block);
    if (first >= end) return this.scan(from, to);
    this.scan(from, first * block);
    this.scan(end * block, to);
    // Up the pyramid: at each level at most one block at either end sticks out.
    for (let level = 0; first < end; level++) {
      if (first % 2 === 1) this.take(level, first++);
      if (end % 2 === 1) this.take(level, --end);
      first >>= 1;
      end >>= 1;
    }
  }

  private addLevel(level: number, count: number): void {
    const [lows, highs] = [new Float64Array(count), new Float64Array(count)];
    for (let b = 0; b < count; b++) {
      this.clear();
      this.take(level - 1, 2 * b);
      this.take(level - 1, 2 * b + 1);
      [lows[b], highs[b]] = [this.low, this.high];
    }
    this.lows.push(lows);
    this.highs.push(highs);
  }

  private clear(): void {
    this.low = Infinity;
    this.high = -Infinity;
  }

  private scan(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const value = this.values[i] ?? NaN;
      if (value < this.low) this.low = value;
      if (value > this.high) this.high = value;
    }
  }

  private take(level: number, index: number): void {
    this.low = Math.min(this.low, this.lows[level]?.[index] ?? Infinity);
    this.high = Math.max(this.high, this.highs[level]?.[index] ?? -Infinity);
  }
}
