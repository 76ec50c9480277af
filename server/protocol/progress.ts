import { z } from 'zod';

/** One report of a long operation. `done`/`total` are in `unit`; all other fields are optional detail. */
export const progressSchema = z.object({
  /** What is being done now, for people: `SVID`, `distil`, `evaluate`, `load` … */
  phase: z.string(),
  done: z.number(),
  total: z.number(),
  unit: z.enum(['tensors', 'bytes', 'steps', 'tokens', 'layers', 'files', 'windows']),
  /** A line of detail, such as the tensor's name. */
  message: z.string().optional(),
  /** Seconds that remain, estimated; absent while unknown. */
  remainingSeconds: z.number().optional(),
  /** Figures of a training step: loss, kl, hidden, learningRate, tokensPerSecond, perplexity … */
  metrics: z.record(z.string(), z.number()).optional(),
});
export type Progress = z.infer<typeof progressSchema>;
export type OnProgress = (progress: Progress) => void;
