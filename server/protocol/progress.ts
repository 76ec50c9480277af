import { z } from './schema.ts';

/** Shares (0 … 1) of each layer's signs that have turned, first layer first. */
export const signFlipSharesSchema = z.object({
  /** Since the measurement before, or the start. */
  sinceLast: z.array(z.number()),
  sinceStart: z.array(z.number()),
});
export type SignFlipShares = z.infer<typeof signFlipSharesSchema>;

/** A greedy completion of a prompt from the held-out text, the same prompt over the whole run. */
export const sampleSchema = z.object({
  /** The model's, as it is now. */
  completion: z.string(),
  /** With a run's first sample only: the prompt, and the teacher's completion where there is a teacher. */
  prompt: z.string().optional(),
  teacher: z.string().optional(),
});
export type Sample = z.infer<typeof sampleSchema>;

/** One line of metrics.jsonl. All losses are means per token, natural log. */
export const metricSchema = z.object({
  step: z.number(),
  /** Seconds since the run began, pauses left out. */
  seconds: z.number(),
  loss: z.number(),
  kl: z.number().optional(),
  hidden: z.number().optional(),
  nll: z.number().optional(),
  learningRate: z.number(),
  gradientNorm: z.number().optional(),
  tokensPerSecond: z.number(),
  tokens: z.number(),
  /** Perplexity on held-out data, at the steps where it was measured. */
  perplexity: z.number().optional(),
  /** Measured with the perplexity; of a 1-bit student only. */
  signFlips: signFlipSharesSchema.optional(),
  /** Measured with the perplexity. */
  sample: sampleSchema.optional(),
});
export type Metric = z.infer<typeof metricSchema>;

/** One report of a long operation. `done`/`total` are in `unit`; all other fields are optional detail. */
export const progressSchema = z.object({
  /** What is being done now, for people: `SVID`, `distill`, `evaluate`, `load` … */
  phase: z.string(),
  done: z.number(),
  total: z.number(),
  unit: z.enum(['tensors', 'bytes', 'steps', 'tokens', 'layers', 'files', 'windows', 'questions', 'samples']),
  /** A line of detail, such as the tensor's name. */
  message: z.string().optional(),
  /** Seconds that remain, estimated; absent while unknown. */
  remainingSeconds: z.number().optional(),
  /** Figures of a training step: loss, kl, hidden, learningRate, tokensPerSecond, perplexity … */
  metrics: z.record(z.string(), z.number()).optional(),
  /** After a training step: its line of metrics.jsonl, complete, for whoever draws the curve. */
  metric: metricSchema.optional(),
});
export type Progress = z.infer<typeof progressSchema>;
export type OnProgress = (progress: Progress) => void;
