import { join } from 'node:path';
import { asOneBitError } from '../protocol/error.ts';
import type { Job, Metric } from '../protocol/job.ts';
import type { Progress } from '../protocol/progress.ts';
import { runFolder } from './job-command.ts';
import { metricsFile, readMetricsFile, type JobStore } from './job-store.ts';

/** Milliseconds between two writes of a running job's progress to disk, and between two notifications. */
const saveIntervalMs = 2000;
const tellIntervalMs = 100;

/**
 * Takes a running job's progress to disk and to listeners, in order, and not more often than is useful:
 * metrics are never left out, reports of progress may be.
 */
export class JobRecorder {
  private lastSave = -Infinity;
  private lastTold = -Infinity;
  private untold: Metric[] = [];
  private timer: NodeJS.Timeout | undefined;
  private begun = false;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly job: Job,
    private readonly store: JobStore,
    private readonly warn: (message: string) => void,
    private readonly tell: (metrics: Metric[]) => void,
  ) {}

  record({ metric, ...progress }: Progress): void {
    this.job.progress = progress;
    if (metric !== undefined) {
      if (!this.begun) this.continueFrom(metric.step);
      this.write(async () => {
        this.untold.push(metric);
        await this.store.appendMetrics(this.job, [metric]);
      });
    }
    const now = performance.now();
    if (now - this.lastSave >= saveIntervalMs) {
      this.lastSave = now;
      this.write(() => this.store.save(this.job));
    }
    this.timer ??= setTimeout(() => this.tellNow(), Math.max(0, this.lastTold + tellIntervalMs - now));
  }

  /** Tells what is untold and resolves when everything is on disk. */
  async close(): Promise<void> {
    await this.writing;
    if (this.timer !== undefined || this.untold.length > 0) this.tellNow();
  }

  /** The first metric has come: if it continues an earlier job's run, what that did is part of the curve. */
  private continueFrom(step: number): void {
    this.begun = true;
    const run = runFolder(this.job.spec);
    if (step <= 1 || run === undefined) return;
    this.write(async () => {
      const earlier = (await readMetricsFile(join(run, metricsFile))).filter((metric) => metric.step < step);
      this.untold.push(...earlier);
      await this.store.appendMetrics(this.job, earlier);
    });
  }

  private tellNow(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lastTold = performance.now();
    this.tell(this.untold.splice(0));
  }

  private write(write: () => Promise<void>): void {
    this.writing = this.writing
      .then(write)
      .catch((error: unknown) => this.warn(asOneBitError(error).message));
  }
}
