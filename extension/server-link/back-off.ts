/** How long to leave a server alone that could not be reached: 1 s after the first failure, doubling up to a minute. */
export class BackOff {
  static readonly firstMs = 1000;
  static readonly longestMs = 60_000;
  private failures = 0;
  private until = 0;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Takes note of a failure: from now on it is waited. */
  failed(): void {
    this.until = this.now() + Math.min(BackOff.firstMs * 2 ** this.failures, BackOff.longestMs);
    this.failures++;
  }

  succeeded(): void {
    this.failures = 0;
    this.until = 0;
  }

  /** Failures since the last success. */
  get count(): number {
    return this.failures;
  }

  get waiting(): boolean {
    return this.remainingMs > 0;
  }

  /** Milliseconds left to wait. */
  get remainingMs(): number {
    return Math.max(0, this.until - this.now());
  }
}
