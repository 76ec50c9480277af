import { z } from './schema.ts';
import { metricSchema, progressSchema } from './progress.ts';
import { presetSchema, recipeSchema } from './recipe.ts';
import { trainingBackendSchema } from './training-backend.ts';

export { metricSchema, type Metric } from './progress.ts';

/** Set to 1 in the environment of the commands that the server runs as jobs. */
export const jobVariable = 'ONEBIT_JOB';

/** Where metrics and checkpoints of a training run with this output lie, unless it is told otherwise. */
export function defaultRunFolder(output: string): string {
  return `${output.replace(/[\\/]+$/, '')}.run`;
}

const folder = z.string().min(1).max(4096);

/** A distillation on what the teacher said of fixed windows, kept on disk; the hidden weight is then 0. */
export const teacherCacheSchema = z
  .object({
    /** Where it is kept; without it the teacher runs at every step. */
    teacherCache: folder,
    /** Tokens kept a position. */
    teacherCacheTop: z.number().int().min(1),
    /** Windows kept. */
    teacherCacheWindows: z.number().int().min(1),
  })
  .partial();

/** `job/start`: what to do. Every field beyond the folders has a default that works. */
export const jobSpecSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('quantize'), model: folder, output: folder }),
  z.object({
    kind: z.literal('distill'),
    /** Full-precision teacher. */
    teacher: folder,
    /** 1-bit start (from quantize); made by SVID when absent. */
    student: folder.optional(),
    /** Files or folders of text or code, .jsonl(.gz) or .parquet. */
    data: z.array(folder).min(1).max(64),
    output: folder,
    steps: z.number().int().min(1).max(10_000_000).optional(),
    /** Stop after this many minutes; the learning rate schedule is fitted to them. */
    minutes: z.number().positive().max(100_000).optional(),
    window: z.number().int().min(8).max(131_072).optional(),
    seed: z.number().int().min(0).optional(),
    ...teacherCacheSchema.shape,
    /** What trains (docs/distillation.md); chosen by the server when absent. */
    backend: trainingBackendSchema.optional(),
    /** Defaults of the recipe; chosen by the teacher's size when absent. */
    preset: presetSchema.optional(),
    /** What differs from the preset. */
    ...recipeSchema.partial().shape,
  }),
  z.object({
    kind: z.literal('evaluate'),
    /** Full-precision model that the others are measured beside. */
    teacher: folder,
    /** Models with its tokenizer. */
    students: z.array(folder).max(16).optional(),
    /** 1-bit models made on the spot to compare with; both when absent. */
    baselines: z
      .array(z.enum(['rtn', 'svid']))
      .max(2)
      .optional(),
    /** UTF-8 text for perplexity, plain or .gz. This, `tasks` or both. */
    text: folder.optional(),
    window: z.number().int().min(2).max(131_072).optional(),
    stride: z.number().int().min(1).max(131_072).optional(),
    /** Only the first tokens of the text. */
    maxTokens: z.number().int().min(2).optional(),
    /** Files of multiple-choice tasks, or of infilling, by the task's name. */
    tasks: z.record(z.string().regex(/^[a-z_]+$/), folder).optional(),
    /** Only the first questions of each task. */
    limit: z.number().int().min(1).optional(),
  }),
]);
export type JobSpec = z.infer<typeof jobSpecSchema>;

/** The folder that a job's model goes to; an evaluation makes none. */
export function outputOf(spec: JobSpec): string | undefined {
  return spec.kind === 'evaluate' ? undefined : spec.output;
}

/** What an evaluation writes into its job's folder, as Markdown (.md) and JSON (.json). */
export const reportName = 'report';

export const jobStateSchema = z.enum(['queued', 'running', 'done', 'failed', 'cancelled', 'interrupted']);
export type JobState = z.infer<typeof jobStateSchema>;

/** A job as `job/list` gives it and as `job.json` keeps it. Times are ISO 8601. */
export const jobSchema = z.object({
  id: z.string(),
  spec: jobSpecSchema,
  state: jobStateSchema,
  created: z.string(),
  started: z.string().optional(),
  ended: z.string().optional(),
  /** The job's own folder: job.json, metrics.jsonl, log.txt. */
  folder: z.string(),
  progress: progressSchema.optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type Job = z.infer<typeof jobSchema>;

/** What a job is for; what comes before it (reading data, the teacher's perplexity …) is told, and counts nothing. */
const mainPhases: Partial<Record<JobSpec['kind'], string>> = { quantize: 'SVID', distill: 'distill' };

/**
 * Share done of a job, 0 … 1. Every phase counts from nothing to all of it, so only the main one is a share of the
 * job. undefined while it prepares, where the total is unknown, and for an evaluation, which measures one thing after another.
 */
export function shareDone({ spec, progress }: Job): number | undefined {
  if (progress === undefined || progress.total <= 0) return undefined;
  if (progress.phase !== mainPhases[spec.kind]) return undefined;
  return Math.min(1, Math.max(0, progress.done / progress.total));
}

export const jobProgressSchema = z.object({ job: jobSchema, metrics: z.array(metricSchema) });
export type JobProgress = z.infer<typeof jobProgressSchema>;
