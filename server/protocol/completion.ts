import { shortList, z } from './schema.ts';

const stopList = shortList(z.string().min(1).max(200), 16);

/** `completion`: text for the gap between prefix and suffix. Streams `completion/delta`, then answers. */
export const completionParamsSchema = z.object({
  /** Chosen by the client; names this request in `completion/delta`. */
  id: z.string().min(1).max(100),
  prefix: z.string().max(1_000_000),
  /** Empty: the prefix is continued, and nothing is filled in. */
  suffix: z.string().max(1_000_000).default(''),
  language: z.string().max(100).optional(),
  path: z.string().max(4096).optional(),
  /** Snippets of other files, put before the prefix as far as they fit; the most useful first. */
  extra: shortList(z.object({ path: z.string().max(4096), text: z.string().max(200_000) }), 32).default([]),
  maxTokens: z.number().int().min(0).max(4096).default(64),
  temperature: z.number().min(0).max(5).default(0),
  topK: z.number().int().min(0).max(100_000).default(40),
  topP: z.number().min(0).max(1).default(0.95),
  minP: z.number().min(0).max(1).default(0),
  repetitionPenalty: z.number().min(0.1).max(10).default(1),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .optional(),
  stop: stopList.default([]),
  /** Stop at the first line end after some text. */
  singleLine: z.boolean().default(false),
  /** Milliseconds of generation after which the text so far is returned; 0 = no limit. */
  maxMilliseconds: z.number().int().min(0).max(600_000).default(0),
  /** False: the whole prompt runs, whatever the KV caches hold. For measurements. */
  reuseCache: z.boolean().default(true),
});
export type CompletionParams = z.input<typeof completionParamsSchema>;
export type CheckedCompletionParams = z.output<typeof completionParamsSchema>;

export const finishReasonSchema = z.enum(['stop', 'length', 'cancelled', 'time']);
export type FinishReason = z.infer<typeof finishReasonSchema>;

export const completionTimingsSchema = z.object({
  promptTokens: z.number(),
  /** Prompt tokens found in the KV cache. */
  cachedTokens: z.number(),
  completionTokens: z.number(),
  queueMs: z.number(),
  prefillMs: z.number(),
  decodeMs: z.number(),
});
export type CompletionTimings = z.infer<typeof completionTimingsSchema>;

export const completionResultSchema = z.object({
  id: z.string(),
  text: z.string(),
  finishReason: finishReasonSchema,
  model: z.string(),
  /** Whether the suffix was used (the tokenizer has fill-in-the-middle tokens). */
  infilled: z.boolean(),
  timings: completionTimingsSchema,
});
export type CompletionResult = z.infer<typeof completionResultSchema>;

export const completionDeltaSchema = z.object({ id: z.string(), text: z.string() });
export type CompletionDelta = z.infer<typeof completionDeltaSchema>;
