import { asOneBitError } from '../../server/protocol/error.ts';
import type { Job } from '../../server/protocol/job.ts';
import type { ModelStatus } from '../../server/protocol/model.ts';
import type { Ending } from '../panel/panel-link.ts';
import type { ServerLink } from './server-link.ts';

/** Whether a job will still change by itself. */
export function isUnfinished(job: Job): boolean {
  return job.state === 'queued' || job.state === 'running';
}

/** The model and the jobs of the server, kept up to date while connected. Nothing polls. */
export class ServerWatch {
  private status: ModelStatus | undefined;
  private readonly known = new Map<string, Job>();
  private readonly listeners = new Set<() => void>();
  private readonly endings: Ending[];

  constructor(
    private readonly link: ServerLink,
    private readonly log: (message: string) => void,
  ) {
    this.endings = [
      link.subscribe(['model', 'jobs']),
      link.onNotification('model/changed', (status) => {
        this.status = status;
        this.changed();
      }),
      link.onNotification('job/progress', ({ job }) => this.take(job)),
      link.onDidChangeState(({ state }) => {
        if (state === 'connected') void this.refresh();
        else {
          this.status = undefined;
          this.changed();
        }
      }),
    ];
  }

  /** Undefined while not connected. */
  get model(): ModelStatus | undefined {
    return this.status;
  }

  /** Oldest first. */
  get jobs(): readonly Job[] {
    return [...this.known.values()];
  }

  job(id: string): Job | undefined {
    return this.known.get(id);
  }

  /** Takes in what is known of a job from an answer. */
  take(job: Job): void {
    this.known.set(job.id, job);
    this.changed();
  }

  onDidChange(listener: () => void): Ending {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  dispose(): void {
    for (const ending of this.endings) ending.dispose();
    this.listeners.clear();
  }

  private async refresh(): Promise<void> {
    try {
      const [status, jobs] = await Promise.all([
        this.link.request('model/status', {}),
        this.link.request('job/list', {}),
      ]);
      this.status = status;
      this.known.clear();
      for (const job of jobs) this.known.set(job.id, job);
      this.changed();
    } catch (error) {
      this.log(`The server's state could not be read: ${asOneBitError(error).message}`);
    }
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
