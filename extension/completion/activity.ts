import type { Ending } from '../panel/panel-link.ts';

/** What this window's completions are doing, for the status bar. */
export class CompletionActivity {
  private count = 0;
  private failure: string | undefined;
  private hasGiven = false;
  private readonly listeners = new Set<() => void>();

  get running(): number {
    return this.count;
  }

  /** Why the last completion failed; undefined after a good one. */
  get error(): string | undefined {
    return this.failure;
  }

  /** Whether a text was given to VS Code since this window was opened. */
  get gave(): boolean {
    return this.hasGiven;
  }

  onDidChange(listener: () => void): Ending {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  began(): void {
    this.count++;
    this.changed();
  }

  /** @param failure what went wrong; `undefined` after a good answer; `cancelled` leaves the last outcome */
  ended(failure: { message: string } | 'cancelled' | undefined): void {
    this.count--;
    if (failure !== 'cancelled') this.failure = failure?.message;
    this.changed();
  }

  /** VS Code has a text to show. */
  given(): void {
    if (this.hasGiven) return;
    this.hasGiven = true;
    this.changed();
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
