/** Resolves true after `milliseconds`, or false as soon as the signal fires. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve(true);
    }, milliseconds);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * How long to wait after a keystroke before asking. At least what the settings say; longer while answers
 * take long, since most requests would be thrown away by the next keystroke: half of the recent median.
 */
export class Debounce {
  static readonly longestMs = 1000;
  private readonly recent: number[] = [];

  /** Takes note of how long an answer took. */
  answered(milliseconds: number): void {
    this.recent.push(milliseconds);
    if (this.recent.length > 7) this.recent.shift();
  }

  delay(settingMs: number): number {
    const sorted = [...this.recent].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    return Math.max(settingMs, Math.min(median / 2, Debounce.longestMs));
  }
}
