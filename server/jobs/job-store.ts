import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { asOneBitError } from '../protocol/error.ts';
import { jobSchema, metricSchema, type Job, type JobSpec, type Metric } from '../protocol/job.ts';
import { processIdentitySchema, type ProcessIdentity } from '../process-identity.ts';
import { writeJson } from './write-json.ts';

const jobFile = 'job.json';
const processFile = 'process.json';
export const metricsFile = 'metrics.jsonl';
const logFile = 'log.txt';

/** One folder a job: job.json (its state), process.json (who runs it), metrics.jsonl, log.txt. */
export class JobStore {
  private saving: Promise<void> = Promise.resolve();

  /** @param root the folder of all jobs; made when the first job is */
  constructor(private readonly root: string) {}

  /** Makes the folder of a new job, whose id sorts by time. */
  async create(spec: JobSpec): Promise<Job> {
    const created = new Date().toISOString();
    const time = created.slice(0, 23).replaceAll(/[-:.]/g, '').replace('T', '-');
    const id = `${time}-${spec.kind}-${randomBytes(3).toString('hex')}`;
    const folder = join(this.root, id);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw asOneBitError(error, folder);
    }
    const job: Job = { id, spec, state: 'queued', created, folder };
    await this.save(job);
    return job;
  }

  /** Writes job.json as the job is when its turn comes: one write after another, so that the last one wins. */
  save(job: Job): Promise<void> {
    const saved = this.saving.then(() => writeJson(join(job.folder, jobFile), job));
    this.saving = saved.catch(() => {});
    return saved;
  }

  /** Every job on disk, oldest first. A folder whose job.json cannot be read is passed over with a warning. */
  async list(warn: (message: string) => void): Promise<Job[]> {
    const names = await readdir(this.root).catch((error: unknown) => {
      if (asOneBitError(error).code === 'not-found') return [];
      throw asOneBitError(error, this.root);
    });
    const jobs: Job[] = [];
    for (const name of names.sort()) {
      const folder = join(this.root, name);
      try {
        const job = jobSchema.parse(JSON.parse(await readFile(join(folder, jobFile), 'utf8')));
        // The folder may have been moved since.
        jobs.push({ ...job, folder });
      } catch (error) {
        warn(`${join(folder, jobFile)} is passed over: ${error instanceof Error ? error.message : error}`);
      }
    }
    return jobs;
  }

  async saveProcess(job: Job, identity: ProcessIdentity): Promise<void> {
    await writeJson(join(job.folder, processFile), identity);
  }

  async readProcess(job: Job): Promise<ProcessIdentity | undefined> {
    try {
      return processIdentitySchema.parse(JSON.parse(await readFile(join(job.folder, processFile), 'utf8')));
    } catch {
      return undefined;
    }
  }

  async appendMetrics(job: Job, metrics: readonly Metric[]): Promise<void> {
    const lines = metrics.map((metric) => `${JSON.stringify(metric)}\n`).join('');
    await appendFile(join(job.folder, metricsFile), lines, { mode: 0o600 });
  }

  /** All metrics so far. */
  readMetrics(job: Job): Promise<Metric[]> {
    return readMetricsFile(this.metricsPath(job));
  }

  metricsPath(job: Job): string {
    return join(job.folder, metricsFile);
  }

  logPath(job: Job): string {
    return join(job.folder, logFile);
  }
}

/** The lines of a metrics.jsonl; one that a crash cut short is left out, a missing file is an empty one. */
export async function readMetricsFile(path: string): Promise<Metric[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const metric = line === '' ? undefined : parseMetric(line);
    return metric === undefined ? [] : [metric];
  });
}

/** A line of a metrics.jsonl; undefined if it is none. */
export function parseMetric(line: string): Metric | undefined {
  try {
    return metricSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
