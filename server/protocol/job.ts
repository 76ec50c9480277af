import { z } from './schema.ts';
import { metricSchema, progressSchema } from './progress.ts';
import { presetSchema, recipeSchema } from './recipe.ts';

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
    /** Defaults of the recipe; chosen by the teacher's size when absent. */
    preset: presetSchema.optional(),
    /** What differs from the preset. */
    ...recipeSchema.partial().shape,
  }),
]);
export type JobSpec = z.infer<typeof jobSpecSchema>;

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

export const jobProgressSchema = z.object({ job: jobSchema, metrics: z.array(metricSchema) });
export type JobProgress = z.infer<typeof jobProgressSchema>;
