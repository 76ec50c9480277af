import { z } from './schema.ts';
import { deviceSchema } from './device.ts';
import { memoryReportSchema } from './memory.ts';

export const modelKindSchema = z.enum(['onebit', 'onebit-training', 'full']);

/** One model that the server knows of. */
export const modelSummarySchema = z.object({
  /** Stable name: `starter` for the shipped one, otherwise the folder's path. */
  id: z.string(),
  name: z.string(),
  path: z.string(),
  kind: modelKindSchema,
  parameters: z.number(),
  /** Bytes on disk of the weights. */
  bytes: z.number(),
  infill: z.boolean(),
  /** Whether it has a chat template. */
  chat: z.boolean(),
});
export type ModelSummary = z.infer<typeof modelSummarySchema>;

export const modelLoadParamsSchema = z.object({
  /** A folder, or `starter`. */
  model: z.string().min(1).max(4096),
  contextLength: z.number().int().min(16).max(1_048_576).optional(),
  /** What the server was started with if absent. */
  device: deviceSchema.optional(),
});
export type ModelLoadParams = z.input<typeof modelLoadParamsSchema>;

export const modelStatusSchema = z.object({
  state: z.enum(['none', 'loading', 'ready', 'unloaded', 'failed']),
  model: modelSummarySchema.optional(),
  memory: memoryReportSchema.optional(),
  /** While loading: 0..1. After a failure: why. */
  progress: z.number().optional(),
  error: z.string().optional(),
  /** Completions running and waiting. */
  active: z.number(),
  queued: z.number(),
});
export type ModelStatus = z.infer<typeof modelStatusSchema>;

export const tokenizeParamsSchema = z.object({ text: z.string().max(1_000_000) });
export const tokenizeResultSchema = z.object({ ids: z.array(z.number()) });
