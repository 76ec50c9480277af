/** Keystrokes further apart than this do not belong to one burst of typing. */
const burstMs = 1000;
/** The share of the typing time that may go into answers nobody waits for. */
const dutyLimit = 0.4;
const remembered = 9;

/**
 * How long to wait after a keystroke before asking. What the settings say, as long as answering every keystroke
 * would take less than four tenths of the time between keystrokes. Where it would take more, most answers would be
 * thrown away and the machine kept busy for nothing: then until typing pauses, which is a little longer than the
 * recent keystrokes were apart, and at least half of the time that an answer takes.
 */
export class Debounce {
  static readonly longestMs = 1000;
  private readonly answers: number[] = [];
  private readonly intervals: number[] = [];
  private lastKeystroke: number | undefined;

  /** Takes note of a keystroke. @param now milliseconds of a steady clock */
  typed(now: number): void {
    const interval = now - (this.lastKeystroke ?? -Infinity);
    this.lastKeystroke = now;
    if (interval < burstMs) remember(this.intervals, interval);
  }

  /** Takes note of how long an answer took. */
  answered(milliseconds: number): void {
    remember(this.answers, milliseconds);
  }

  /** The median of recent answers in milliseconds; undefined before the first. */
  get latency(): number | undefined {
    return median(this.answers);
  }

  delay(settingMs: number): number {
    const latency = this.latency ?? 0;
    const interval = median(this.intervals);
    const wait =
      interval === undefined || latency <= interval * dutyLimit
        ? latency / 2
        : Math.max(latency / 2, interval * 1.25);
    return Math.max(settingMs, Math.min(wait, Debounce.longestMs));
  }
}

function remember(list: number[], value: number): void {
  list.push(value);
  if (list.length > remembered) list.shift();
}

function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
