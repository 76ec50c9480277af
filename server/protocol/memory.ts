import { z } from './schema.ts';

/**
 * Bytes by part; `fp16Bytes` is what the same part would take in an fp16 checkpoint. `signs` and
 * `values` (g, h) are the 1-bit linears, `weights` those of a full-precision checkpoint.
 */
export const memoryPartSchema = z.object({
  part: z.enum(['signs', 'values', 'weights', 'embedding', 'head', 'norms', 'kv-cache', 'scratch']),
  bytes: z.number(),
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
  kvCacheBytes: z.number(),
  contextLength: z.number(),
});
export type MemoryPart = z.infer<typeof memoryPartSchema>;
export type MemoryReport = z.infer<typeof memoryReportSchema>;

export const processMemorySchema = z.object({
  rssBytes: z.number(),
  heapBytes: z.number(),
  uptimeSeconds: z.number(),
});
export type ProcessMemory = z.infer<typeof processMemorySchema>;
