import { z } from './schema.ts';
import type { Progress } from './progress.ts';

const path = z.string().min(1).max(4096);
/** Chosen by the client; names a request in `inspect/progress`. */
const requestId = z.string().min(1).max(100);
const matrixName = z.string().min(1).max(300);

const distribution = z.object({ mean: z.number(), std: z.number(), min: z.number(), max: z.number() });

/** Statistics of one 1-bit matrix W ≈ S ⊙ (h gᵀ), S `[rows = out, columns = in]`. Formulas: docs/inspect.md. */
export const layerStatisticsSchema = z.object({
  /** e.g. model.layers.0.self_attn.q_proj */
  name: z.string(),
  layer: z.number(),
  projection: z.string(),
  rows: z.number(),
  columns: z.number(),
  /** Share of +1 among the signs, 0..1. */
  positiveShare: z.number(),
  /** Of the share of +1, row by row and column by column. */
  rowBalance: distribution,
  columnBalance: distribution,
  /** `[columns]` */
  g: distribution,
  /** `[rows]` */
  h: distribution,
  /** Input channels whose |g| is over 4 times the median |g| of the matrix: at most 32, largest first. */
  outlierInputs: z.array(z.object({ channel: z.number(), ratio: z.number() })),
  /** Of a checkpoint of the training kind: share of its latent weights with |w| under 5 % of their root mean square. */
  nearZeroShare: z.number().optional(),
  /** Against the teacher's W, when one was given. */
  teacher: z
    .object({
      /** ‖W − S ⊙ (h gᵀ)‖ / ‖W‖ */
      relativeError: z.number(),
      /** ⟨W, S ⊙ (h gᵀ)⟩ / (‖W‖ ‖S ⊙ (h gᵀ)‖) */
      cosine: z.number(),
      /** Share of signs equal to the teacher's. */
      signAgreement: z.number(),
      /** σ₁² / ‖W‖² of |W|: the share of its energy in the first singular value. */
      energyShare: z.number(),
    })
    .optional(),
  /** Against another 1-bit checkpoint of the same shape, when one was given. */
  other: z
    .object({
      signAgreement: z.number(),
      /** ‖g − g′‖ / ‖g′‖ */
      gChange: z.number(),
      /** ‖h − h′‖ / ‖h′‖ */
      hChange: z.number(),
    })
    .optional(),
});
export type LayerStatistics = z.infer<typeof layerStatisticsSchema>;

/** `inspect/layers`: sends `inspect/progress`, then answers. */
export const inspectLayersParamsSchema = z.object({
  id: requestId,
  model: path,
  teacher: path.optional(),
  other: path.optional(),
});
export type InspectLayersParams = z.infer<typeof inspectLayersParamsSchema>;

export const inspectLayersResultSchema = z.object({
  model: z.string(),
  teacher: z.string().optional(),
  other: z.string().optional(),
  layers: z.array(layerStatisticsSchema),
  /**
   * Input channels that are outliers in two or more matrices that read the same kind of input (the normed hidden state,
   * the attention's output, or the FFN's inner state), most often first, at most 64.
   */
  recurringOutliers: z.array(
    z.object({ columns: z.number(), channel: z.number(), matrices: z.array(z.string()) }),
  ),
  /** Answered from the cache. */
  cached: z.boolean(),
});
export type InspectLayersResult = z.infer<typeof inspectLayersResultSchema>;

/** How far the request of that id is. */
export interface InspectProgress {
  id: string;
  progress: Progress;
}

/** `inspect/matrix`: everything about one matrix. Sends `inspect/progress` while it finds the spectrum. */
export const inspectMatrixParamsSchema = z.object({
  id: requestId,
  model: path,
  name: matrixName,
  teacher: path.optional(),
  other: path.optional(),
  /** The largest singular values of the teacher's |W| that are wanted, the first included; needs a teacher. */
  spectrum: z.number().int().min(0).max(32).default(0),
});
export type InspectMatrixParams = z.input<typeof inspectMatrixParamsSchema>;

/** Values along rows or columns: `values` are means of runs of ceil(length / 1024), the last run may be shorter. */
const profile = z.object({ length: z.number(), values: z.array(z.number()) });
/** `counts[i]` values lie from `edges[i]` to `edges[i + 1]`. Of |value| where the scale is log, zeros left out. */
const histogram = z.object({
  scale: z.enum(['linear', 'log']),
  edges: z.array(z.number()),
  counts: z.array(z.number()),
});
const valuesOf = z.object({
  profile,
  linear: histogram,
  log: histogram,
  /** How many values are negative, and how many are zero. */
  negative: z.number(),
  zero: z.number(),
  /** The 16 of largest |value|. */
  extremes: z.array(z.object({ index: z.number(), value: z.number() })),
});
export const inspectMatrixResultSchema = z.object({
  statistics: layerStatisticsSchema,
  /** Share of +1 along the rows, and along the columns. */
  rowPositive: profile,
  columnPositive: profile,
  g: valuesOf,
  h: valuesOf,
  /** Singular values of |W|, largest first, as parts of ‖W‖ (σᵢ / ‖W‖). */
  spectrum: z.array(z.number()).optional(),
});
export type InspectMatrixResult = z.infer<typeof inspectMatrixResultSchema>;

/**
 * `inspect/tile`: up to 256 × 256 cells of the picture of a sign matrix. At level n a cell is the mean sign of
 * 2ⁿ × 2ⁿ signs (level 0: single signs; cells at the right and lower edge may be of fewer). With `against` (1-bit or
 * full-precision, of the same shape): the share of signs that differ.
 */
export const inspectTileParamsSchema = z.object({
  model: path,
  name: matrixName,
  level: z.number().int().min(0).max(16),
  /** Tile along the columns, and along the rows. */
  x: z.number().int().min(0),
  y: z.number().int().min(0),
  against: path.optional(),
});
export type InspectTileParams = z.infer<typeof inspectTileParamsSchema>;
export const inspectTileResultSchema = z.object({
  width: z.number(),
  height: z.number(),
  /** Base64 of int8 `[height, width]`: round(127 × mean sign), or round(127 × share that differs). */
  cells: z.string(),
});
export type InspectTileResult = z.infer<typeof inspectTileResultSchema>;

/** Cells of a tile along each side. */
export const tileSize = 256;

/**
 * `inspect/checkpoints`: what can be compared over a training run, in order of step. The model is a run's folder, one
 * of its checkpoints, or the folder that it wrote; of any other model the list is empty. Each path may be given as
 * `model` or `other` of the other requests.
 */
export const inspectCheckpointsParamsSchema = z.object({ model: path });
export type InspectCheckpointsParams = z.infer<typeof inspectCheckpointsParamsSchema>;
export const inspectCheckpointsResultSchema = z.object({
  checkpoints: z.array(
    z.object({
      path: z.string(),
      step: z.number(),
      /** `training`: latent weights; `packed`: signs, g and h. */
      kind: z.enum(['training', 'packed']),
    }),
  ),
});
export type InspectCheckpointsResult = z.infer<typeof inspectCheckpointsResultSchema>;

/**
 * `inspect/activations`: through every matrix on a text. Sends `inspect/progress`, then answers. Runs in plain f32 with
 * the weights in memory: for models of some hundred million weights.
 */
export const inspectActivationsParamsSchema = z.object({
  id: requestId,
  model: path,
  teacher: path.optional(),
  /** Cut to 512 tokens, or to the model's context. */
  text: z.string().min(1).max(20_000),
});
export type InspectActivationsParams = z.infer<typeof inspectActivationsParamsSchema>;
export const inspectActivationsResultSchema = z.object({
  /** Tokens that went through, the beginning-of-text token included. */
  tokens: z.number(),
  matrices: z.array(
    z.object({
      name: z.string(),
      /** Root mean square over all tokens and channels. */
      inputRms: z.number(),
      /** After the LayerNorm of a 1-bit layer. */
      outputRms: z.number(),
      /** ‖y − y_teacher‖ / ‖y_teacher‖ over all tokens, each model on its own stream. */
      teacherError: z.number().optional(),
      teacherInputRms: z.number().optional(),
      teacherOutputRms: z.number().optional(),
    }),
  ),
});
export type InspectActivationsResult = z.infer<typeof inspectActivationsResultSchema>;
