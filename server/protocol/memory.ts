import { z } from './schema.ts';

/**
 * Bytes by part; `fp16Bytes` is what the same part would take in an fp16 checkpoint. `signs` and
 * `values` (g, h) are the 1-bit linears, `weights` those of a full-precision checkpoint.
 */
export const memoryPartSchema = z.object({
  part: z.enum(['signs', 'values', 'weights', 'embedding', 'head', 'norms', 'kv-cache', 'scratch']),
  bytes: z.number(),
  /** Which memory holds it. */
  place: z.enum(['ram', 'gpu']),
  /** What the part was planned to take before it was loaded; only where memory was planned (GPU). */
  plannedBytes: z.number().optional(),
  /** Bytes of the same part in fp16; 0 for what exists only at run time (KV cache, scratch). */
  fp16Bytes: z.number(),
});
export const memoryReportSchema = z.object({
  device: z.object({
    kind: z.enum(['cpu', 'gpu']),
    name: z.string(),
    /** e.g. avx512, portable, webgpu */ path: z.string(),
    /** Why it runs there: what was asked for, what was found, or what went wrong on the GPU. */
    reason: z.string().optional(),
  }),
  parts: z.array(memoryPartSchema),
  /** Sum over all parts but kv-cache and scratch. */
  modelBytes: z.number(),
  fp16ModelBytes: z.number(),
  /** 8 × modelBytes of the 1-bit linears ÷ their weights. */
  bitsPerLinearWeight: z.number(),
  /** Weights of the linears of all blocks, the divisor of `bitsPerLinearWeight`. */
  linearWeights: z.number(),
  kvCacheBytes: z.number(),
  /** Bytes of one key or value in the KV cache: 2 or 4. */
  kvElementBytes: z.number(),
  contextLength: z.number(),
});
export type MemoryPart = z.infer<typeof memoryPartSchema>;
export type MemoryReport = z.infer<typeof memoryReportSchema>;

/** `memory/plan`: what the model in memory would take with another context or another precision of its lm_head. */
export const memoryPlanParamsSchema = z.object({
  /** Tokens; as loaded if absent. */
  contextLength: z.number().int().min(16).max(1_048_576).optional(),
  /** 8: one byte a weight and an f32 scale a row. As loaded if absent. */
  headBits: z.union([z.literal(16), z.literal(8)]).optional(),
});
export type MemoryPlanParams = z.infer<typeof memoryPlanParamsSchema>;

/** All parts with every KV cache full, as loaded and as asked for. */
export const memoryPlanSchema = z.object({
  contextLength: z.number(),
  headBits: z.union([z.literal(16), z.literal(8)]).optional(),
  /** The longest context that the model was made for. */
  maxPositions: z.number(),
  parts: z.array(
    z.object({
      part: memoryPartSchema.shape.part,
      place: memoryPartSchema.shape.place,
      /** As loaded; a KV cache counts with all its positions in use. */
      nowBytes: z.number(),
      plannedBytes: z.number(),
      /** The formula with its figures, of what depends on context or precision. */
      how: z.string().optional(),
    }),
  ),
  nowBytes: z.number(),
  plannedBytes: z.number(),
});
export type MemoryPlan = z.infer<typeof memoryPlanSchema>;

export const processMemorySchema = z.object({
  rssBytes: z.number(),
  heapBytes: z.number(),
  uptimeSeconds: z.number(),
});
export type ProcessMemory = z.infer<typeof processMemorySchema>;
