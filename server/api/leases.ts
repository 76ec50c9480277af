/**
 * Counts who needs the server. When the last lease has been gone for the grace time, and nothing else
 * keeps it (a job that runs), `onUnused` is called. A server that nobody ever came to ends the same way.
 */
export class Leases {
  private held = 0;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;

  /**
   * @param graceMs milliseconds without a lease; undefined = the server stays until it is stopped
   * @param stillNeeded asked when the grace time is over; if true it starts anew
   */
  constructor(
    private readonly graceMs: number | undefined,
    private readonly stillNeeded: () => boolean,
    private readonly onUnused: () => void,
  ) {}

  get count(): number {
    return this.held;
  }

  /** Starts the clock; call it when the server can be reached. */
  begin(): void {
    this.wait();
  }

  /** Takes a lease, to be given back once. */
  take(): { dispose(): void } {
    this.held++;
    clearTimeout(this.timer);
    let given = false;
    return {
      dispose: () => {
        if (given) return;
        given = true;
        this.held--;
        if (this.held === 0) this.wait();
      },
    };
  }

  dispose(): void {
    this.ended = true;
    clearTimeout(this.timer);
  }

  private wait(): void {
    clearTimeout(this.timer);
    if (this.graceMs === undefined || this.ended || this.held > 0) return;
    this.timer = setTimeout(() => {
      if (this.held > 0 || this.ended) return;
      if (this.stillNeeded()) this.wait();
      else this.onUnused();
    }, this.graceMs);
  }
}
