import { z } from './schema.ts';

/** `job/export`: a run's metrics for other tools. The client writes the file, where its user wants it. */
export const jobExportParamsSchema = z.object({
  id: z.string().min(1).max(200),
  format: z.enum(['csv', 'tensorboard']),
});
export type JobExportParams = z.infer<typeof jobExportParamsSchema>;

export interface JobExport {
  /** Where TensorBoard looks for it, below its log folder; of CSV a file name. */
  name: string;
  /** In base64. */
  content: string;
  steps: number;
}
