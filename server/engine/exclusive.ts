/** Runs asynchronous work one piece at a time, in order of arrival. */
export class Exclusive {
  private last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work, work);
    this.last = result.catch(() => undefined);
    return result;
  }

  /** Resolves when all work that was handed in so far has ended. */
  async idle(): Promise<void> {
    await this.last;
  }
}
