import type { JobCurves } from '../protocol/curves.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';
import { outputOf, type Job, type JobProgress, type JobSpec, type Metric } from '../protocol/job.ts';
import { jobArguments, resolveSpec } from './job-command.ts';
import { JobProcess, type JobExit, type OneBitCommand } from './job-process.ts';
import { readCurves } from './job-curves.ts';
import { JobRecorder } from './job-recorder.ts';
import { JobStore } from './job-store.ts';
import { identify, whetherRuns, type ProcessIdentity } from '../process-identity.ts';

export interface JobQueueOptions {
  /** The folder that holds one folder a job. */
  folder: string;
  /** How `onebit` is run. */
  command: OneBitCommand;
  /** Milliseconds that a cancelled job has for its last checkpoint before it is killed (default 30 000). */
  cancelGraceMs?: number;
  warn(message: string): void;
}

interface Running {
  job: Job;
  process: JobProcess;
  /** Why it is being stopped, if it is. */
  stopping?: 'cancelled' | 'interrupted';
  finished: Promise<void>;
}

const queueLimit = 32;
/** Jobs that `list` gives; older ones stay on disk. */
const listLimit = 200;

/**
 * Runs jobs one after another, each in a child process, and keeps their state on disk. Opened with `open`,
 * closed with `close`.
 */
export class JobQueue {
  private readonly store: JobStore;
  private readonly jobs = new Map<string, Job>();
  private readonly waiting: Job[] = [];
  /** Processes of an earlier server's jobs that still write their last checkpoint. */
  private readonly leftBehind: { job: Job; identity: ProcessIdentity }[] = [];
  private readonly listeners = new Set<(progress: JobProgress) => void>();
  private running: Running | undefined;
  private closed = false;

  private constructor(private readonly options: JobQueueOptions) {
    this.store = new JobStore(options.folder);
  }

  /** Reads the jobs of earlier servers; those that had not ended are `interrupted` now. */
  static async open(options: JobQueueOptions): Promise<JobQueue> {
    const queue = new JobQueue(options);
    for (const job of (await queue.store.list(options.warn)).slice(-listLimit)) {
      queue.jobs.set(job.id, job);
      if (job.state !== 'running' && job.state !== 'queued' && job.state !== 'interrupted') continue;
      const identity = await queue.store.readProcess(job);
      if (identity !== undefined && whetherRuns(identity) === 'runs')
        queue.leftBehind.push({ job, identity });
      if (job.state !== 'interrupted') await queue.interrupt(job, 'The server ended while this job');
    }
    return queue;
  }

  /** Jobs that run or wait. */
  get pending(): number {
    return this.waiting.length + (this.running === undefined ? 0 : 1);
  }

  /** Newest first. */
  list(): Job[] {
    return [...this.jobs.values()].reverse();
  }

  /** @throws not-found */
  async metrics(id: string): Promise<JobProgress> {
    const job = this.find(id);
    return { job, metrics: await this.store.readMetrics(job) };
  }

  /** A run's points as columns, from `from` on. @throws not-found */
  curves(id: string, from: number): Promise<JobCurves> {
    return readCurves(this.store.metricsPath(this.find(id)), from);
  }

  /** Calls the listener at every change of a job, with the metrics that are new. */
  onProgress(listener: (progress: JobProgress) => void): { dispose(): void } {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  /**
   * Queues a job. It starts at once if none runs.
   * @throws bad-request (relative path), busy (a job with that output folder, or too many), no-space …
   */
  async start(unresolved: JobSpec): Promise<Job> {
    const spec = resolveSpec(unresolved);
    this.refuseSameOutput(spec);
    if (this.waiting.length >= queueLimit) {
      throw new OneBitError('busy', `${queueLimit} jobs wait already. Cancel some, or wait for them.`);
    }
    if (this.closed) throw new OneBitError('busy', 'The server is stopping: start the job again.');
    const job = await this.store.create(spec);
    // Another request may have come between.
    this.refuseSameOutput(spec);
    this.jobs.set(job.id, job);
    this.waiting.push(job);
    this.tell(job);
    this.next();
    return job;
  }

  /**
   * Cancels a waiting or running job; resolves when it has ended. A job that has ended stays as it is.
   * @throws not-found
   */
  async cancel(id: string): Promise<Job> {
    const job = this.find(id);
    const place = this.waiting.indexOf(job);
    if (place >= 0) {
      this.waiting.splice(place, 1);
      await this.end(job, 'cancelled');
    } else if (this.running?.job === job) {
      this.running.stopping ??= 'cancelled';
      this.running.process.stop(this.options.cancelGraceMs ?? 30_000);
      await this.running.finished;
    }
    return job;
  }

  /**
   * Stops everything: waiting jobs and the running one become `interrupted`. Waits at most `waitMs` for
   * the running one; if its last checkpoint takes longer it goes on alone and ends when that is written.
   */
  async close(waitMs: number): Promise<void> {
    this.closed = true;
    for (const job of this.waiting.splice(0)) {
      await this.interrupt(job, 'The server was stopped while this job');
    }
    const running = this.running;
    if (running === undefined) return;
    running.stopping ??= 'interrupted';
    running.process.stop(this.options.cancelGraceMs ?? 30_000);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), waitMs)));
    const outcome = await Promise.race([running.finished, late]);
    clearTimeout(timer);
    if (outcome === 'late') await this.interrupt(running.job, 'The server was stopped while this job');
  }

  private find(id: string): Job {
    const job = this.jobs.get(id);
    if (job === undefined) throw new OneBitError('not-found', `There is no job "${id}".`);
    return job;
  }

  private refuseSameOutput(spec: JobSpec): void {
    const output = outputOf(spec);
    if (output === undefined) return;
    const stillWriting = this.leftBehind.filter(({ identity }) => whetherRuns(identity) === 'runs');
    const writing = [...this.waiting, ...stillWriting.map(({ job }) => job)];
    if (this.running !== undefined) writing.push(this.running.job);
    const other = writing.find((job) => outputOf(job.spec) === output);
    if (other !== undefined) {
      throw new OneBitError(
        'busy',
        `Job ${other.id} writes to ${output} already. Wait for it, cancel it, or choose another folder.`,
      );
    }
  }

  private next(): void {
    if (this.running !== undefined || this.closed) return;
    const job = this.waiting.shift();
    if (job === undefined) return;
    job.state = 'running';
    job.started = new Date().toISOString();
    const recorder = new JobRecorder(job, this.store, this.options.warn, (metrics) =>
      this.tell(job, metrics),
    );
    const started = new JobProcess({
      command: this.options.command,
      arguments: jobArguments(job.spec, job.folder),
      logPath: this.store.logPath(job),
      onProgress: (progress) => recorder.record(progress),
    });
    const finished = started.exit.then(async (exit) => {
      await recorder.close();
      await this.finish(job, exit, this.running?.stopping);
      this.running = undefined;
      this.next();
    });
    this.running = { job, process: started, finished };
    if (started.pid !== undefined) {
      void this.store.saveProcess(job, identify(started.pid)).catch((error: unknown) => this.warnOf(error));
    }
    void this.save(job);
    this.tell(job);
  }

  private async finish(job: Job, exit: JobExit, stopping: Running['stopping']): Promise<void> {
    if (exit.code === 0) return this.end(job, 'done');
    if (stopping === 'interrupted') return this.interrupt(job, 'The server was stopped while this job');
    if (stopping === 'cancelled') return this.end(job, 'cancelled');
    if (exit.signal !== null) {
      const memory =
        exit.signal === 'SIGKILL'
          ? ' The system does that when memory runs out: see that enough is free.'
          : '';
      return this.end(job, 'failed', {
        code: exit.signal === 'SIGKILL' ? 'out-of-memory' : 'internal',
        message: `The job's process was killed by ${exit.signal}.${memory} ${howToContinue(job)}`,
      });
    }
    if (exit.error?.code === 'cancelled') return this.end(job, 'cancelled');
    return this.end(job, 'failed', exit.error);
  }

  private async interrupt(job: Job, what: string): Promise<void> {
    const did = job.state === 'running' ? 'ran' : 'waited';
    await this.end(job, 'interrupted', {
      code: 'cancelled',
      message: `${what} ${did}. ${howToContinue(job)}`,
    });
  }

  /** Nobody sees the job as ended before its folder says so. */
  private async end(job: Job, state: Job['state'], error?: Job['error']): Promise<void> {
    const ended = { ...job, state, ended: new Date().toISOString(), error };
    await this.save(ended);
    Object.assign(job, ended);
    this.tell(job);
  }

  private async save(job: Job): Promise<void> {
    await this.store.save(job).catch((error: unknown) => this.warnOf(error));
  }

  private tell(job: Job, metrics: Metric[] = []): void {
    const progress = { job: structuredClone(job), metrics };
    for (const listener of [...this.listeners]) listener(progress);
  }

  private warnOf(error: unknown): void {
    this.options.warn(asOneBitError(error).message);
  }
}

function howToContinue(job: Job): string {
  return job.spec.kind === 'distill'
    ? 'Start it again with the same folders: it continues from its last checkpoint.'
    : job.spec.kind === 'evaluate'
      ? 'Start it again; it measures anew.'
      : 'Start it again with the same folders.';
}
