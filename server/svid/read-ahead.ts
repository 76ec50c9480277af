/**
 * Runs numbered tasks a few at a time, ahead of whoever takes their results in order: while result i is
 * used, tasks i + 1 … i + width − 1 are under way. Task i starts only after i − width has been taken and
 * passed, so a task may use buffer i mod width. The last result taken is kept for repeated takes.
 */
export class ReadAhead<T> {
  private readonly running = new Map<number, Promise<T>>();
  private next = 0;

  constructor(
    private readonly count: number,
    private readonly width: number,
    private readonly run: (i: number) => Promise<T>,
  ) {}

  /** The result of task i; takes must not go back. */
  async take(i: number): Promise<T> {
    for (const earlier of this.running.keys()) if (earlier < i) this.running.delete(earlier);
    while (this.next < Math.min(this.count, i + this.width)) {
      const task = this.run(this.next);
      // A failure is reported by take(); until then it must not count as unhandled.
      task.catch(() => {});
      this.running.set(this.next++, task);
    }
    const task = this.running.get(i);
    if (task === undefined) throw new Error(`ReadAhead: result ${i} was taken and passed already`);
    return task;
  }

  /** Resolves when every task that was started has ended, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.running.values());
  }
}
