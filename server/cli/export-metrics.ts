import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { metricsCsv } from '../distill/export/metrics-csv.ts';
import { tensorboardEvents } from '../distill/export/tensorboard-events.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';
import { metricSchema, type Metric } from '../protocol/job.ts';

interface Flags {
  run: string;
  tensorboard?: string;
  csv?: string;
}

/** `onebit export-metrics`: a run's metrics for other tools. */
export function register(program: Command): void {
  program
    .command('export-metrics')
    .description("A training run's metrics as TensorBoard events or CSV; also of one that is under way.")
    .requiredOption('--run <folder>', 'folder of a run or of a job, with metrics.jsonl')
    .option('--tensorboard <folder>', 'log folder for TensorBoard; the run is a subfolder of its own there')
    .option('--csv <file>', 'a column for each figure')
    .action(async ({ run, tensorboard, csv }: Flags) => {
      if (tensorboard === undefined && csv === undefined) {
        throw new OneBitError('bad-request', 'Give --tensorboard FOLDER, --csv FILE or both.');
      }
      const file = join(run, 'metrics.jsonl');
      const { metrics, writtenAt } = await readMetrics(file);
      const written: string[] = [];
      if (tensorboard !== undefined) {
        const startedAt = writtenAt - (metrics.at(-1)?.seconds ?? 0);
        // One name whenever it is exported, so that TensorBoard sees one run and not two.
        const events = join(tensorboard, basename(resolve(run)), 'events.out.tfevents.0.onebit');
        await write(events, tensorboardEvents(metrics, startedAt));
        written.push(events);
      }
      if (csv !== undefined) {
        await write(csv, metricsCsv(metrics));
        written.push(csv);
      }
      process.stdout.write(`${metrics.length} steps: ${written.join(', ')}\n`);
    });
}

/** The lines of a metrics.jsonl; the last may be half written. `writtenAt`: seconds since 1970. */
async function readMetrics(file: string): Promise<{ metrics: Metric[]; writtenAt: number }> {
  let content: string;
  let writtenAt: number;
  try {
    writtenAt = (await stat(file)).mtimeMs / 1000;
    content = await readFile(file, 'utf8');
  } catch (error) {
    throw asOneBitError(error, file);
  }
  const lines = content.split('\n').filter((line) => line !== '');
  const metrics = lines.flatMap((line, index) => {
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch (cause) {
      if (index === lines.length - 1) return [];
      throw new OneBitError('bad-file', `${file}: line ${index + 1} is not JSON.`, { cause });
    }
    const metric = metricSchema.safeParse(json);
    if (!metric.success)
      throw new OneBitError('bad-file', `${file}: line ${index + 1} is not a step's metrics.`);
    return [metric.data];
  });
  if (metrics.length === 0) throw new OneBitError('bad-value', `${file} holds no step yet: train first.`);
  return { metrics, writtenAt };
}

/** Writes a file whole or not at all. */
async function write(path: string, content: string | Uint8Array): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(partial, content, { flush: true });
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw asOneBitError(error, path);
  }
}
