import { z } from './schema.ts';
import type { Progress } from './progress.ts';

const distribution = z.object({ mean: z.number(), std: z.number(), min: z.number(), max: z.number() });

/** Statistics of one 1-bit matrix. */
export const layerStatisticsSchema = z.object({
  /** e.g. model.layers.0.self_attn.q_proj */
  name: z.string(),
  layer: z.number(),
  projection: z.string(),
  rows: z.number(),
  columns: z.number(),
  /** Share of +1 among the signs, 0..1. */
  positiveShare: z.number(),
  g: distribution,
  h: distribution,
  /** ‖W − S ⊙ (h gᵀ)‖ / ‖W‖ against the teacher, when one was given. */
  relativeError: z.number().optional(),
  /** Share of signs equal to the teacher's, when one was given. */
  signAgreement: z.number().optional(),
});
export type LayerStatistics = z.infer<typeof layerStatisticsSchema>;

/** `inspect/layers`: sends `inspect/progress`, then answers. */
export const inspectLayersParamsSchema = z.object({
  /** Chosen by the client; names this request in `inspect/progress`. */
  id: z.string().min(1).max(100),
  model: z.string().min(1).max(4096),
  teacher: z.string().min(1).max(4096).optional(),
});
export type InspectLayersParams = z.infer<typeof inspectLayersParamsSchema>;

export const inspectLayersResultSchema = z.object({
  model: z.string(),
  teacher: z.string().optional(),
  layers: z.array(layerStatisticsSchema),
});
export type InspectLayersResult = z.infer<typeof inspectLayersResultSchema>;

/** Layers read so far by the request of that id. */
export interface InspectProgress {
  id: string;
  progress: Progress;
}

/** `inspect/signs`: a picture of part of a sign matrix. Each cell is the mean sign (−1..1) of a block. */
export const inspectSignsParamsSchema = z.object({
  model: z.string().min(1).max(4096),
  name: z.string().min(1).max(300),
  row: z.number().int().min(0).default(0),
  column: z.number().int().min(0).default(0),
  rows: z.number().int().min(1),
  columns: z.number().int().min(1),
  /** Cells of the picture, at most 512 × 512. */
  height: z.number().int().min(1).max(512),
  width: z.number().int().min(1).max(512),
});
export type InspectSignsParams = z.input<typeof inspectSignsParamsSchema>;
export const inspectSignsResultSchema = z.object({
  height: z.number(),
  width: z.number(),
  /** row-major */ cells: z.array(z.number()),
});
export type InspectSignsResult = z.infer<typeof inspectSignsResultSchema>;
